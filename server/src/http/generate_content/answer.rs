//! Builds answers: converts events into the parts of one candidate.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::encode;
use super::grounding::GroundingMetadata;
use super::part::invocation;
use super::passthrough::OpenPassthrough;
use crate::http::error::ApiError;
use crate::http::vertex::Traffic;
use crate::http::wire::proto;
use domain::interaction::{
    Delta, Event, Failure, FailureKind, FunctionCall, ServiceTier, Status, StepStart, Tokens, Usage,
};

/// Properties of an answer and of each of its chunks.
#[derive(Debug, Clone)]
pub struct About {
    pub model: String,
    pub id: String,
    pub tier: ServiceTier,
    /// Whether enums are numbers.
    pub enum_numbers: bool,
    /// The part of the prompt that came from a cached content.
    pub cached: Tokens,
    /// Whether the answer has parts for the calls and results of the server's tools.
    pub invocations: bool,
    /// Set in the dialect of Vertex AI.
    pub vertex: Option<VertexAnswer>,
}

/// What only Vertex AI's answers have.
#[derive(Debug, Clone, Copy)]
pub struct VertexAnswer {
    /// When the model began to answer.
    pub created: Timestamp,
    /// Whether the request offered a search, whose metadata the answer has even if it is empty.
    pub offers_search: bool,
    pub traffic: Traffic,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy)]
pub struct AnswerEnd {
    finish_reason: &'static str,
    /// `None` if the model stopped without an answer, which has no usage.
    pub usage: Option<Usage>,
}

impl AnswerEnd {
    /// With Google's names.
    pub fn finish_reason(&self) -> &'static str {
        self.finish_reason
    }

    /// The end in the final event; `None` for all other events.
    pub fn of(event: &Event) -> Option<Result<AnswerEnd, ApiError>> {
        match event {
            Event::Finished { status: Status::Cancelled, .. } => Some(Err(ApiError::stopping())),
            Event::Finished { status, usage } => {
                Some(Ok(AnswerEnd { finish_reason: finish_reason(*status), usage: Some(*usage) }))
            }
            Event::Failed(Failure { kind: FailureKind::Stopped(reason), .. }) => {
                Some(Ok(AnswerEnd { finish_reason: reason.as_str(), usage: None }))
            }
            Event::Failed(failure) => Some(Err(failure.clone().into())),
            _ => None,
        }
    }
}

/// Converts events into parts, one at a time and in order.
#[derive(Debug)]
pub struct PartEncoder {
    /// Whether thought summaries are included.
    thoughts: bool,
    /// Whether calls and results of the server's tools are.
    invocations: bool,
    /// Of a thought whose text is incomplete.
    signature: Option<String>,
    /// Of the code or the search that follows.
    call_id: String,
    /// A function call and the JSON of its arguments so far.
    call: Option<(FunctionCall, String)>,
    /// Whether a call of this answer has carried the signature, which all calls share.
    signed: bool,
    /// A step that another server runs.
    passthrough: Option<OpenPassthrough>,
}

impl PartEncoder {
    pub fn new(thoughts: bool) -> PartEncoder {
        PartEncoder {
            thoughts,
            invocations: false,
            signature: None,
            call_id: String::new(),
            call: None,
            signed: false,
            passthrough: None,
        }
    }

    #[must_use]
    pub fn showing_tools(self, invocations: bool) -> PartEncoder {
        PartEncoder { invocations, ..self }
    }

    pub fn of(&mut self, event: &Event) -> Option<Value> {
        match event {
            Event::StepStarted {
                start: StepStart::FunctionCall { id, name, signature }, ..
            } => {
                let (id, name, signature) = (id.clone(), name.clone(), signature.clone());
                let call = FunctionCall { id, name, arguments: json!({}), signature };
                self.call = Some((call, String::new()));
                None
            }
            Event::StepStarted {
                start: StepStart::CodeCall { id } | StepStart::SearchCall { id },
                ..
            } => {
                self.call_id.clone_from(id);
                None
            }
            Event::StepStarted {
                start: StepStart::Tool(step) | StepStart::Passthrough(step),
                ..
            } => {
                self.passthrough = Some(OpenPassthrough::new(step));
                None
            }
            Event::StepDelta { delta: Delta::Passthrough(delta), .. } => {
                let part = self.passthrough.as_mut()?.part(delta, self.thoughts);
                part.filter(|part| self.invocations || !is_invocation(part))
            }
            Event::StepDelta { delta, .. } => self.delta(delta),
            Event::StepStopped { .. } if self.passthrough.is_some() => {
                self.passthrough.take()?.end()
            }
            Event::StepStopped { .. } => {
                let (mut call, arguments) = self.call.take()?;
                if let Ok(arguments) = parse::json::parse(arguments.as_bytes()) {
                    call.arguments = arguments;
                }
                self.signature = None;
                if std::mem::replace(&mut self.signed, true) {
                    call.signature.clear();
                }
                Some(encode::of_function_call(&call))
            }
            Event::StepStarted { .. }
            | Event::Created(_)
            | Event::UpstreamUsage(_)
            | Event::Finished { .. }
            | Event::Failed(_) => None,
        }
    }

    fn delta(&mut self, delta: &Delta) -> Option<Value> {
        match delta {
            Delta::ThoughtSummary(summary) => self.thoughts.then(|| encode::thought(summary)),
            Delta::ThoughtSignature(signature) => {
                self.signature = Some(signature.clone());
                None
            }
            Delta::Text(text) => Some(encode::text(text)),
            Delta::Media(media) => Some(encode::of_media(media)),
            Delta::CodeCall { code, signature } => {
                self.signature = None;
                Some(encode::of_code(&self.call_id, code, signature))
            }
            Delta::CodeResult(result) => Some(encode::of_code_result(result)),
            Delta::FunctionArguments(more) => {
                if let Some((_, arguments)) = &mut self.call {
                    arguments.push_str(more);
                }
                None
            }
            Delta::SearchCall { queries, signature } if self.invocations => {
                let call = json!({"type": "google_search_call", "signature": signature,
                                  "arguments": {"queries": queries}});
                invocation::of_step(&self.call_id, &call)
            }
            Delta::SearchResult(result) if self.invocations => {
                let found = result.suggestions.iter();
                let found: Vec<Value> =
                    found.map(|html| json!({"search_suggestions": html})).collect();
                let result = json!({"type": "google_search_result", "result": found});
                invocation::of_step(&self.call_id, &result)
            }
            // Returned beside the parts: see `grounding`.
            Delta::SearchCall { .. }
            | Delta::SearchResult(_)
            | Delta::Citations(_)
            // Not a part in this API, and a request cannot cause it.
            | Delta::Passthrough(_) => None,
        }
    }

    /// The final part, if any: a thought's signature is sent after the text that the thought led
    /// to.
    pub fn last(self) -> Option<Value> {
        let signature = self.signature?;
        Some(json!({"text": "", "thoughtSignature": signature}))
    }
}

fn is_invocation(part: &Value) -> bool {
    ["toolCall", "toolResponse"].iter().any(|name| part.get(name).is_some())
}

/// Joins chunks of a text, and attaches a signature that is alone.
pub fn join(pieces: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut parts: Vec<Value> = Vec::new();
    for piece in pieces {
        match parts.last_mut() {
            Some(last) if continues(last, &piece) => {
                if let (Value::String(text), Some(more)) =
                    (&mut last["text"], piece["text"].as_str())
                {
                    text.push_str(more);
                }
                if let Some(signature) = piece.get("thoughtSignature") {
                    last["thoughtSignature"] = signature.clone();
                }
            }
            _ => parts.push(piece),
        }
    }
    if parts.is_empty() {
        // The model may return no text, but clients access the first part.
        parts.push(encode::text(""));
    }
    parts
}

/// Whether a chunk continues the part before it.
pub fn continues(last: &Value, piece: &Value) -> bool {
    last["text"].is_string()
        && piece["text"].is_string()
        && last.get("thought") == piece.get("thought")
}

/// An answer or a chunk of one, with the usage so far, and what is known of its sources. The last one has
/// `end`.
pub fn answer(
    about: &About,
    parts: Vec<Value>,
    used: Option<Value>,
    end: Option<AnswerEnd>,
    metadata: GroundingMetadata,
) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}});
    if about.vertex.is_none() {
        candidate["index"] = 0.into();
    }
    if let Some(end) = end {
        candidate["finishReason"] = end.finish_reason.into();
    }
    let is_searched = about.vertex.is_some_and(|vertex| vertex.offers_search) && end.is_some();
    if let Some(urls) = metadata.url_context {
        candidate["urlContextMetadata"] = json!({"urlMetadata": urls});
    }
    if let Some(grounding) = metadata.grounding.or_else(|| is_searched.then(|| json!({}))) {
        candidate["groundingMetadata"] = grounding;
    }
    let mut answer = json!({"candidates": [candidate]});
    if let Some(used) = used {
        answer["usageMetadata"] = used;
    }
    answer["modelVersion"] = about.model.as_str().into();
    if let Some(vertex) = about.vertex {
        answer["createTime"] = format!("{:.6}", vertex.created).into();
    }
    answer["responseId"] = about.id.as_str().into();
    if about.enum_numbers {
        proto::with_numbers(&mut answer);
    }
    answer
}

fn finish_reason(status: Status) -> &'static str {
    match status {
        // Calls for the client are a regular end in this API.
        Status::Completed | Status::RequiresAction => "STOP",
        Status::Incomplete => "MAX_TOKENS",
        Status::InProgress | Status::Failed | Status::Cancelled => "OTHER",
    }
}
