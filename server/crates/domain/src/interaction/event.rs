//! The events in the log of an interaction, and their projection to its current content.
//!
//! Events are the only record of an interaction: the reply, `GET`, the stream and the next turn's
//! history are derived from them.
//!
//! Enums without data have their names once: `strum` gives Google's, and `serde` those in the database,
//! which cannot change.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{EnumIter, EnumString, IntoStaticStr, VariantNames};

use super::passthrough;
use super::step::{
    Citation, CodeCall, CodeResult, Content, FunctionCall, Media, SearchCall, SearchResult, Step,
};
use super::usage::{Tokens, Usage};
use parse::json::{self, JsonSize};

/// An entry of the log. Its position in the log is its number, from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The first event: the interaction exists.
    Created(InteractionSettings),
    StepStarted {
        /// Counts the model's steps from 0; the user's input has no index.
        index: usize,
        start: StepStart,
    },
    StepDelta {
        index: usize,
        delta: Delta,
    },
    StepStopped {
        index: usize,
    },
    /// Token usage of an upstream that ran the whole interaction, in the upstream's own JSON.
    UpstreamUsage(Value),
    /// The last event of an interaction that did not fail.
    Finished {
        status: Status,
        usage: Usage,
    },
    /// The last event of an interaction that failed.
    Failed(Failure),
}

/// Settings that do not change during an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InteractionSettings {
    pub tier: ServiceTier,
    /// Size of the first prompt. Absent in logs of older servers.
    pub prompt: Option<Tokens>,
    pub summaries: Summaries,
}

/// Whether the client sees thought summaries. The model gets them in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Summaries {
    #[default]
    Shown,
    Hidden,
}

/// The urgency that the client requested. It changes nothing but the response's `service_tier`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    IntoStaticStr,
    EnumIter,
    EnumString,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    Flex,
    #[default]
    Standard,
    Priority,
    Deferred,
}

impl ServiceTier {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The status of an interaction, with Google's names.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumIter, VariantNames, Serialize, Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    /// Function calls wait for results from the client.
    RequiresAction,
    Completed,
    /// Cut short by a limit on the model's output.
    Incomplete,
    Failed,
    Cancelled,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why an interaction failed. The message is shown to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// How long a client should wait before a retry.
    pub retry_after: Option<Duration>,
    pub delivery: FailureDelivery,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            message: message.into(),
            retry_after: None,
            delivery: FailureDelivery::Reported,
        }
    }
}

/// How the client that sent the request gets a failure. Later requests for the interaction always get
/// it as `Reported`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureDelivery {
    /// As the failed interaction: its steps, and the reason.
    Reported,
    /// The HTTP request fails, regardless of the steps so far. Only scenarios request this.
    HttpError,
    /// The connection closes without a response. Only scenarios request this.
    ConnectionDrop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A retry of the same request cannot succeed.
    InvalidRequest,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    /// A conflict with other work; a retry may succeed.
    Aborted,
    /// The client did not send the request in time.
    RequestTimeout,
    /// The client closed the request.
    ClientClosed,
    /// A proxy could not reach the service.
    BadGateway,
    TooLarge,
    /// The model or the sandbox is temporarily unavailable.
    Unavailable,
    /// A rate limit or a capacity limit was reached, and nothing was executed.
    ResourceExhausted,
    /// A time limit was reached.
    DeadlineExceeded,
    Unimplemented,
    Internal,
    /// The model ended its turn early.
    Stopped(Reason),
}

/// Why a model stopped early, with Google's names.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    IntoStaticStr,
    EnumIter,
    EnumString,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Safety,
    Recitation,
    Language,
    Blocklist,
    ProhibitedContent,
    Spii,
    MalformedFunctionCall,
    UnexpectedToolCall,
    TooManyToolCalls,
    ImageSafety,
    ImageProhibitedContent,
    ImageRecitation,
    ImageOther,
    NoImage,
    MissingThoughtSignature,
    MalformedResponse,
    ModelArmor,
    Other,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The start of a step: what is known before its first delta.
#[derive(Debug, Clone, PartialEq)]
pub enum StepStart {
    Thought,
    ModelOutput,
    CodeCall {
        id: String,
    },
    CodeResult {
        call_id: String,
    },
    SearchCall {
        id: String,
    },
    SearchResult {
        call_id: String,
    },
    FunctionCall {
        id: String,
        name: String,
        signature: String,
    },
    /// Of a [`super::ServerTool`].
    Tool(Value),
    Passthrough(Value),
}

impl Event {
    /// Number of JSON values and names that it holds, or that its text becomes.
    pub fn json_values(&self) -> usize {
        match self {
            Event::StepStarted {
                start: StepStart::Tool(json) | StepStart::Passthrough(json),
                ..
            }
            | Event::StepDelta { delta: Delta::Passthrough(json), .. }
            | Event::UpstreamUsage(json) => JsonSize::of(json).values,
            Event::StepDelta { delta: Delta::FunctionArguments(text), .. } => {
                json::values(text.as_bytes())
            }
            _ => 0,
        }
    }
}

/// An addition to a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    ThoughtSummary(String),
    ThoughtSignature(String),
    Text(String),
    Media(Media),
    /// The whole call at once, because clients concatenate pieces.
    CodeCall {
        code: String,
        signature: String,
    },
    /// The whole result at once, for the same reason.
    CodeResult(CodeResult),
    SearchCall {
        queries: Vec<String>,
        signature: String,
    },
    SearchResult(SearchResult),
    /// Citations of the text before it.
    Citations(Vec<Citation>),
    /// A piece of the arguments' JSON text.
    FunctionArguments(String),
    /// Of a step in Google's format.
    Passthrough(Value),
}

/// The current content of a log.
#[derive(Debug, Clone, Default)]
pub struct Projection {
    steps: Vec<Step>,
    /// Whether the last step has started and not stopped.
    open: bool,
    /// JSON text of a function call's arguments, until its step stops.
    arguments: String,
    status: Option<Status>,
    usage: Option<Usage>,
    upstream_usage: Option<Value>,
    failure: Option<Failure>,
}

impl Projection {
    pub fn new<'a>(events: impl IntoIterator<Item = &'a Event>) -> Projection {
        let mut projection = Projection::default();
        for event in events {
            projection.add(event);
        }
        projection
    }

    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Created(_) => self.status = Some(Status::InProgress),
            Event::StepStarted { start, .. } => {
                self.arguments.clear();
                self.open = true;
                self.steps.push(empty_step(start));
            }
            Event::StepDelta { delta, .. } => self.delta(delta),
            Event::StepStopped { .. } => {
                self.open = false;
                match self.steps.last_mut() {
                    Some(Step::FunctionCall(call)) => {
                        if let Ok(arguments) = json::parse(self.arguments.as_bytes()) {
                            call.arguments = arguments;
                        }
                    }
                    Some(Step::Passthrough(step)) => passthrough::stop(step, &self.arguments),
                    _ => {}
                }
            }
            Event::UpstreamUsage(usage) => self.upstream_usage = Some(usage.clone()),
            Event::Finished { status, usage } => {
                self.status = Some(*status);
                self.usage = Some(*usage);
            }
            Event::Failed(failure) => {
                self.status = Some(Status::Failed);
                self.failure = Some(failure.clone());
            }
        }
    }

    /// The model's steps so far, oldest first.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Whether the last step has started and not stopped.
    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn status(&self) -> Status {
        self.status.unwrap_or(Status::InProgress)
    }

    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Replaces [`Projection::usage`] for APIs with the upstream's format.
    pub fn upstream_usage(&self) -> Option<&Value> {
        self.upstream_usage.as_ref()
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn delta(&mut self, delta: &Delta) {
        match (self.steps.last_mut(), delta) {
            (Some(Step::Thought { summary, .. }), Delta::ThoughtSummary(more)) => {
                summary.push_str(more);
            }
            (Some(Step::Thought { signature, .. }), Delta::ThoughtSignature(whole)) => {
                signature.clone_from(whole);
            }
            (Some(Step::ModelOutput(contents)), Delta::Text(more)) => match contents.last_mut() {
                Some(Content::Text { text, .. }) => text.push_str(more),
                _ => contents.push(Content::text(more)),
            },
            (Some(Step::ModelOutput(contents)), Delta::Media(media)) => {
                contents.push(Content::Media(media.clone()));
            }
            (Some(Step::CodeCall(call)), Delta::CodeCall { code, signature }) => {
                call.code.clone_from(code);
                call.signature.clone_from(signature);
            }
            (Some(Step::CodeResult(result)), Delta::CodeResult(whole)) => *result = whole.clone(),
            (Some(Step::SearchCall(call)), Delta::SearchCall { queries, signature }) => {
                call.queries.clone_from(queries);
                call.signature.clone_from(signature);
            }
            (Some(Step::SearchResult(result)), Delta::SearchResult(whole)) => {
                *result = whole.clone();
            }
            (Some(Step::ModelOutput(contents)), Delta::Citations(more)) => {
                if let Some(Content::Text { citations, .. }) = contents.last_mut() {
                    citations.extend(more.iter().cloned());
                }
            }
            (Some(Step::FunctionCall(_)), Delta::FunctionArguments(more)) => {
                self.arguments.push_str(more);
            }
            (Some(Step::Passthrough(step)), Delta::Passthrough(more)) => {
                passthrough::add(step, &mut self.arguments, more);
            }
            // The engine never writes a delta of another kind than its step.
            _ => {}
        }
    }
}

fn empty_step(start: &StepStart) -> Step {
    match start {
        StepStart::Thought => Step::Thought { summary: String::new(), signature: String::new() },
        StepStart::ModelOutput => Step::ModelOutput(Vec::new()),
        StepStart::CodeCall { id } => Step::CodeCall(CodeCall {
            id: id.clone(),
            code: String::new(),
            signature: String::new(),
        }),
        StepStart::CodeResult { call_id } => Step::CodeResult(CodeResult {
            call_id: call_id.clone(),
            outcome: super::Outcome::Ok,
            result: String::new(),
            stdout: String::new(),
            images: 0,
            signature: String::new(),
        }),
        StepStart::SearchCall { id } => {
            Step::SearchCall(SearchCall { id: id.clone(), ..SearchCall::default() })
        }
        StepStart::SearchResult { call_id } => {
            Step::SearchResult(SearchResult { call_id: call_id.clone(), ..SearchResult::default() })
        }
        StepStart::FunctionCall { id, name, signature } => Step::FunctionCall(FunctionCall {
            id: id.clone(),
            name: name.clone(),
            arguments: Value::Object(serde_json::Map::new()),
            signature: signature.clone(),
        }),
        StepStart::Tool(step) | StepStart::Passthrough(step) => Step::Passthrough(step.clone()),
    }
}
