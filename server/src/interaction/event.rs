//! The log of one interaction, and how to read it.
//!
//! Events are the only record of an interaction: the reply, `GET`, the stream and the next turn's
//! history are all made from them.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use super::passthrough;
use super::step::{
    Citation, CodeCall, CodeResult, Content, FunctionCall, Media, SearchCall, SearchResult, Step,
};
use super::usage::{Tokens, Usage};

/// One thing that happened. Its place in the log is its number, from 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The interaction exists, and the model is about to be asked.
    Created(InteractionSettings),
    StepStarted {
        /// Counts up from 0 over the model's steps; the user's input has no index.
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
    /// What another server counted that ran all of this, in its own words.
    UpstreamUsage(Value),
    /// The end, unless it is [`Event::Failed`]. Nothing follows.
    Finished {
        status: Status,
        usage: Usage,
    },
    /// The end. Nothing follows.
    Failed(Failure),
}

/// What was settled before anything happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InteractionSettings {
    pub tier: ServiceTier,
    /// What the model has to read. Logs of older servers do not say.
    pub prompt: Option<Tokens>,
    pub summaries: Summaries,
}

/// Whether the client gets to read what the model thought. The model goes on with it either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Summaries {
    #[default]
    Shown,
    Hidden,
}

/// How urgent the client finds it. All are served alike, and told which one they asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceTier {
    Flex,
    #[default]
    Standard,
    Priority,
    Deferred,
}

impl ServiceTier {
    pub const ALL: [ServiceTier; 4] =
        [ServiceTier::Flex, ServiceTier::Standard, ServiceTier::Priority, ServiceTier::Deferred];

    pub fn as_str(self) -> &'static str {
        match self {
            ServiceTier::Flex => "flex",
            ServiceTier::Standard => "standard",
            ServiceTier::Priority => "priority",
            ServiceTier::Deferred => "deferred",
        }
    }
}

/// Not the name of a service tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownTier;

impl FromStr for ServiceTier {
    type Err = UnknownTier;

    fn from_str(name: &str) -> Result<ServiceTier, UnknownTier> {
        ServiceTier::ALL.into_iter().find(|tier| tier.as_str() == name).ok_or(UnknownTier)
    }
}

/// How an interaction stands. Google's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    InProgress,
    /// Function calls wait for the client.
    RequiresAction,
    Completed,
    /// Cut short by a limit on the model's output.
    Incomplete,
    Failed,
    Cancelled,
}

/// Why an interaction could not go on, in words that may be shown to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    pub message: String,
    /// How long a client should wait before it asks again.
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

/// How the client gets to know of a failure. Only the client that asked is concerned: whoever looks
/// at the interaction later is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureDelivery {
    /// The interaction has failed, and its steps and the reason are the answer.
    Reported,
    /// The request fails, whatever had happened by then. Nothing but a script wants that.
    HttpError,
    /// The connection ends without a word. Nothing but a script wants that.
    ConnectionDrop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The request can never succeed as it is.
    InvalidRequest,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    /// Something else got in the way, and asking again may help.
    Aborted,
    /// The request did not come in time.
    RequestTimeout,
    /// The client took it back.
    ClientClosed,
    /// What stands before the service has lost it.
    BadGateway,
    TooLarge,
    /// The model or the sandbox is not there at the moment.
    Unavailable,
    /// A limit on rate or places was met, and nothing was executed.
    ResourceExhausted,
    /// A limit of time was met.
    DeadlineExceeded,
    Unimplemented,
    Internal,
    /// The model ended its turn, and not because it was done.
    Stopped(Reason),
}

/// Why a model stopped. Google's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub const ALL: [Reason; 18] = [
        Reason::Safety,
        Reason::Recitation,
        Reason::Language,
        Reason::Blocklist,
        Reason::ProhibitedContent,
        Reason::Spii,
        Reason::MalformedFunctionCall,
        Reason::UnexpectedToolCall,
        Reason::TooManyToolCalls,
        Reason::ImageSafety,
        Reason::ImageProhibitedContent,
        Reason::ImageRecitation,
        Reason::ImageOther,
        Reason::NoImage,
        Reason::MissingThoughtSignature,
        Reason::MalformedResponse,
        Reason::ModelArmor,
        Reason::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Safety => "SAFETY",
            Reason::Recitation => "RECITATION",
            Reason::Language => "LANGUAGE",
            Reason::Blocklist => "BLOCKLIST",
            Reason::ProhibitedContent => "PROHIBITED_CONTENT",
            Reason::Spii => "SPII",
            Reason::MalformedFunctionCall => "MALFORMED_FUNCTION_CALL",
            Reason::UnexpectedToolCall => "UNEXPECTED_TOOL_CALL",
            Reason::TooManyToolCalls => "TOO_MANY_TOOL_CALLS",
            Reason::ImageSafety => "IMAGE_SAFETY",
            Reason::ImageProhibitedContent => "IMAGE_PROHIBITED_CONTENT",
            Reason::ImageRecitation => "IMAGE_RECITATION",
            Reason::ImageOther => "IMAGE_OTHER",
            Reason::NoImage => "NO_IMAGE",
            Reason::MissingThoughtSignature => "MISSING_THOUGHT_SIGNATURE",
            Reason::MalformedResponse => "MALFORMED_RESPONSE",
            Reason::ModelArmor => "MODEL_ARMOR",
            Reason::Other => "OTHER",
        }
    }
}

/// A step as it begins: what is known before its first delta.
#[derive(Debug, Clone, PartialEq)]
pub enum StepStart {
    Thought,
    ModelOutput,
    CodeCall { id: String },
    CodeResult { call_id: String },
    SearchCall { id: String },
    SearchResult { call_id: String },
    FunctionCall { id: String, name: String, signature: String },
    Passthrough(Value),
}

/// What is added to a step that has begun.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    ThoughtSummary(String),
    ThoughtSignature(String),
    Text(String),
    Media(Media),
    /// The whole call at once: clients concatenate what comes in pieces.
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
    /// What parts of the text before it are taken from.
    Citations(Vec<Citation>),
    /// A piece of the arguments' JSON text.
    FunctionArguments(String),
    /// Of a step that is kept as it comes.
    Passthrough(Value),
}

/// Reads a log into what it says so far.
#[derive(Debug, Clone, Default)]
pub struct Projection {
    steps: Vec<Step>,
    /// Whether more of the last step may come.
    open: bool,
    /// JSON text of a function call's arguments, until the step stops.
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
                self.steps.push(begun(start));
            }
            Event::StepDelta { delta, .. } => self.delta(delta),
            Event::StepStopped { .. } => {
                self.open = false;
                match self.steps.last_mut() {
                    Some(Step::FunctionCall(call)) => {
                        if let Ok(arguments) = serde_json::from_str(&self.arguments) {
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

    /// The model's steps, oldest first, as far as they have come.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Whether the last step has begun and not stopped.
    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn status(&self) -> Status {
        self.status.unwrap_or(Status::InProgress)
    }

    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Instead of [`Projection::usage`], for those who understand it.
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
            // A delta of another kind than its step is not written by anyone.
            _ => {}
        }
    }
}

fn begun(start: &StepStart) -> Step {
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
        StepStart::Passthrough(step) => Step::Passthrough(step.clone()),
    }
}
