//! Answers: what happened, as the parts of one candidate.

use serde_json::{Value, json};

use super::foreign::Foreign;
use super::say;
use crate::http::error::ApiError;
use crate::interaction::{Delta, Event, Failure, FailureKind, FunctionCall, Shell, Status, Usage};

/// There is one, and this is what Google calls it.
const SERVICE_TIER: &str = "standard";

/// What is said of every answer and of each of its pieces.
#[derive(Debug, Clone)]
pub struct About {
    pub model: String,
    pub id: String,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    finish_reason: &'static str,
    /// Absent where the model stopped without an answer: that is not counted.
    usage: Option<Usage>,
}

impl End {
    /// Of the event that is the last one, and of no other.
    pub fn of(event: &Event) -> Option<Result<End, ApiError>> {
        match event {
            Event::Finished { status: Status::Cancelled, .. } => Some(Err(ApiError::stopping())),
            Event::Finished { status, usage } => {
                Some(Ok(End { finish_reason: finish_reason(*status), usage: Some(*usage) }))
            }
            Event::Failed(Failure { kind: FailureKind::Stopped(reason), .. }) => {
                Some(Ok(End { finish_reason: reason.word(), usage: None }))
            }
            Event::Failed(failure) => Some(Err(failure.clone().into())),
            _ => None,
        }
    }
}

/// Makes parts of what happens, one at a time and in its order.
#[derive(Debug)]
pub struct Parts {
    /// Whether the summaries of thoughts are shown.
    thoughts: bool,
    /// Of a thought whose text is still coming.
    signature: Option<String>,
    /// Of the code that is about to come.
    code_id: String,
    /// A function call and the JSON text of its arguments so far.
    call: Option<(FunctionCall, String)>,
    /// A step that another server runs.
    foreign: Option<Foreign>,
}

impl Parts {
    pub fn new(thoughts: bool) -> Parts {
        Parts { thoughts, signature: None, code_id: String::new(), call: None, foreign: None }
    }

    pub fn of(&mut self, event: &Event) -> Option<Value> {
        match event {
            Event::StepStarted { shell: Shell::FunctionCall { id, name, signature }, .. } => {
                let (id, name, signature) = (id.clone(), name.clone(), signature.clone());
                let call = FunctionCall { id, name, arguments: json!({}), signature };
                self.call = Some((call, String::new()));
                None
            }
            Event::StepStarted { shell: Shell::CodeCall { id }, .. } => {
                self.code_id.clone_from(id);
                None
            }
            Event::StepStarted { shell: Shell::Foreign(step), .. } => {
                self.foreign = Some(Foreign::new(step));
                None
            }
            Event::StepDelta { delta: Delta::Foreign(delta), .. } => {
                self.foreign.as_mut()?.part(delta, self.thoughts)
            }
            Event::StepDelta { delta, .. } => self.delta(delta),
            Event::StepStopped { .. } if self.foreign.is_some() => self.foreign.take()?.end(),
            Event::StepStopped { .. } => {
                let (mut call, arguments) = self.call.take()?;
                if let Ok(arguments) = serde_json::from_str(&arguments) {
                    call.arguments = arguments;
                }
                self.signature = None;
                Some(say::of_function_call(&call))
            }
            Event::StepStarted { .. }
            | Event::Created
            | Event::CountedElsewhere(_)
            | Event::Finished { .. }
            | Event::Failed(_) => None,
        }
    }

    fn delta(&mut self, delta: &Delta) -> Option<Value> {
        match delta {
            Delta::ThoughtSummary(summary) => self.thoughts.then(|| say::thought(summary)),
            Delta::ThoughtSignature(signature) => {
                self.signature = Some(signature.clone());
                None
            }
            Delta::Text(text) => Some(say::text(text)),
            Delta::Media(media) => Some(say::of_media(media)),
            Delta::CodeCall { code, signature } => {
                self.signature = None;
                Some(say::of_code(&self.code_id, code, signature))
            }
            Delta::CodeResult(result) => Some(say::of_code_result(result)),
            Delta::FunctionArguments(more) => {
                if let Some((_, arguments)) = &mut self.call {
                    arguments.push_str(more);
                }
                None
            }
            // It stands beside the parts: see `grounding`.
            Delta::SearchCall { .. }
            | Delta::SearchResult(_)
            | Delta::Citations(_)
            // Here it is no part, and a request cannot ask for it.
            | Delta::Foreign(_) => None,
        }
    }

    /// The last part, where there is something left to say: a thought's signature stands at the end
    /// of the text that it led to.
    pub fn last(self) -> Option<Value> {
        let signature = self.signature?;
        Some(json!({"text": "", "thoughtSignature": signature}))
    }
}

/// Pieces of a text become one again, and a signature that stands alone joins it.
pub fn join(pieces: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut parts: Vec<Value> = Vec::new();
    for piece in pieces {
        match parts.last_mut() {
            Some(last) if goes_on(last, &piece) => {
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
        // A model may have nothing to say, and clients look at the first part all the same.
        parts.push(say::text(""));
    }
    parts
}

/// Whether a piece belongs to the part before it.
pub fn goes_on(last: &Value, piece: &Value) -> bool {
    last["text"].is_string()
        && piece["text"].is_string()
        && last.get("thought") == piece.get("thought")
}

/// An answer, or a piece of one. `end` is there with the last one, and with it what was searched.
pub fn answer(
    about: &About,
    parts: Vec<Value>,
    end: Option<End>,
    grounding: Option<Value>,
) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(end) = end {
        candidate["finishReason"] = end.finish_reason.into();
    }
    if let Some(grounding) = grounding {
        candidate["groundingMetadata"] = grounding;
    }
    let mut answer = json!({"candidates": [candidate]});
    if let Some(counted) = end.and_then(|end| end.usage) {
        answer["usageMetadata"] = usage(counted);
    }
    answer["modelVersion"] = about.model.as_str().into();
    answer["responseId"] = about.id.as_str().into();
    answer
}

fn finish_reason(status: Status) -> &'static str {
    match status {
        // Functions that wait for the client are a good end here.
        Status::Completed | Status::RequiresAction => "STOP",
        Status::Incomplete => "MAX_TOKENS",
        Status::InProgress | Status::Failed | Status::Cancelled => "OTHER",
    }
}

/// What was not used is not counted, as with the real service.
fn usage(usage: Usage) -> Value {
    let text = |tokens: u64| json!([{"modality": "TEXT", "tokenCount": tokens}]);
    let mut json = json!({
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output,
        "totalTokenCount": usage.total(),
        "promptTokensDetails": text(usage.input),
    });
    if usage.tool_use > 0 {
        json["toolUsePromptTokenCount"] = usage.tool_use.into();
        json["toolUsePromptTokensDetails"] = text(usage.tool_use);
    }
    if usage.thought > 0 {
        json["thoughtsTokenCount"] = usage.thought.into();
    }
    if usage.cached > 0 {
        json["cachedContentTokenCount"] = usage.cached.into();
    }
    json["serviceTier"] = SERVICE_TIER.into();
    json
}

/// What `:countTokens` says.
pub fn counted(tokens: u64) -> Value {
    json!({
        "totalTokens": tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}],
    })
}
