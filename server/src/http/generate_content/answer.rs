//! Builds answers: converts events into the parts of one candidate.

use serde_json::{Value, json};

use super::encode;
use super::passthrough::OpenPassthrough;
use crate::http::error::ApiError;
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
    /// Of a thought whose text is incomplete.
    signature: Option<String>,
    /// Of the code that follows.
    code_id: String,
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
            signature: None,
            code_id: String::new(),
            call: None,
            signed: false,
            passthrough: None,
        }
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
            Event::StepStarted { start: StepStart::CodeCall { id }, .. } => {
                self.code_id.clone_from(id);
                None
            }
            Event::StepStarted { start: StepStart::Passthrough(step), .. } => {
                self.passthrough = Some(OpenPassthrough::new(step));
                None
            }
            Event::StepDelta { delta: Delta::Passthrough(delta), .. } => {
                self.passthrough.as_mut()?.part(delta, self.thoughts)
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
                Some(encode::of_code(&self.code_id, code, signature))
            }
            Delta::CodeResult(result) => Some(encode::of_code_result(result)),
            Delta::FunctionArguments(more) => {
                if let Some((_, arguments)) = &mut self.call {
                    arguments.push_str(more);
                }
                None
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

/// An answer or a chunk of one, with the usage so far. The last one has `end` and the grounding
/// metadata.
pub fn answer(
    about: &About,
    parts: Vec<Value>,
    used: Option<Value>,
    end: Option<AnswerEnd>,
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
    if let Some(used) = used {
        answer["usageMetadata"] = used;
    }
    answer["modelVersion"] = about.model.as_str().into();
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

/// The usage of a complete answer. Like the real service, omits counts of zero.
pub fn usage(about: &About, usage: &Usage) -> Value {
    let mut json = usage_so_far(about, usage);
    if usage.tool_use.total() > 0 {
        json["toolUsePromptTokenCount"] = usage.tool_use.total().into();
        json["toolUsePromptTokensDetails"] = details(&usage.tool_use);
    }
    json["totalTokenCount"] = usage.total().into();
    json
}

/// The usage up to a chunk of a stream. The real service reports tool use only at the end, so the
/// total excludes it until then.
pub fn usage_so_far(about: &About, usage: &Usage) -> Value {
    let before_tools = Usage { tool_use: Tokens::default(), ..*usage };
    let mut json = json!({
        "promptTokenCount": usage.input.total(),
        "candidatesTokenCount": usage.output.total(),
        "totalTokenCount": before_tools.total(),
        "promptTokensDetails": details(&usage.input),
        "candidatesTokensDetails": details(&usage.output),
    });
    if usage.thought > 0 {
        json["thoughtsTokenCount"] = usage.thought.into();
    }
    let cached = about.cached.total();
    if cached > 0 {
        // The model may count fewer tokens than were estimated.
        let cached = about.cached.scaled_to(cached.min(usage.input.total()));
        json["cachedContentTokenCount"] = cached.total().into();
        json["cacheTokensDetails"] = details(&cached);
    } else if usage.cached > 0 {
        json["cachedContentTokenCount"] = usage.cached.into();
    }
    json["serviceTier"] = about.tier.as_str().into();
    json
}

/// The response of `:countTokens`.
pub fn counted(tokens: &Tokens, cached: &Tokens) -> Value {
    let mut json = json!({"totalTokens": tokens.total(), "promptTokensDetails": details(tokens)});
    if cached.total() > 0 {
        json["cachedContentTokenCount"] = cached.total().into();
    }
    json
}

fn details(tokens: &Tokens) -> Value {
    let counts = tokens.by_modality().map(|(modality, count)| {
        json!({"modality": modality.as_str().to_uppercase(), "tokenCount": count})
    });
    counts.collect()
}
