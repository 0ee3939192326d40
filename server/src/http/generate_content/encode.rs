//! Writes parts.

use serde_json::{Value, json};

use super::part::OUTCOMES;
use crate::http::response::pieces::base64;
use domain::interaction::{CodeResult, FunctionCall, Media, Source};

pub fn text(text: &str) -> Value {
    json!({"text": text})
}

pub fn thought(summary: &str) -> Value {
    json!({"text": summary, "thought": true})
}

pub fn of_media(media: &Media) -> Value {
    match &media.source {
        Source::Inline(data) => {
            json!({"inlineData": {"mimeType": media.mime_type, "data": base64(data)}})
        }
        Source::Uri(uri) => json!({"fileData": {"mimeType": media.mime_type, "fileUri": uri}}),
    }
}

pub fn of_code(id: &str, code: &str, signature: &str) -> Value {
    json!({
        "executableCode": {"language": "PYTHON", "code": code, "id": id},
        "thoughtSignature": signature,
    })
}

pub fn of_code_result(result: &CodeResult) -> Value {
    let outcome = OUTCOMES.iter().find(|(_, outcome)| *outcome == result.outcome);
    let outcome = outcome.map_or("OUTCOME_UNSPECIFIED", |(name, _)| name);
    json!({"codeExecutionResult": {
        "outcome": outcome, "output": result.result, "id": result.call_id,
    }})
}

pub fn of_function_call(call: &FunctionCall) -> Value {
    let mut part =
        json!({"functionCall": {"id": call.id, "name": call.name, "args": call.arguments}});
    if !call.signature.is_empty() {
        part["thoughtSignature"] = call.signature.as_str().into();
    }
    part
}
