//! Steps of tools, and steps that another server runs, as parts. They arrive in the format of the
//! interactions API.

use serde_json::{Value, json};

use super::encode;
use super::part::invocation;
use domain::interaction::{FunctionCall, PassthroughStep};

/// An incomplete step.
#[derive(Debug)]
pub struct OpenPassthrough {
    /// Its id, or that of the call to which it belongs.
    id: String,
    step: PassthroughStep,
}

impl OpenPassthrough {
    pub fn new(step: &Value) -> OpenPassthrough {
        let id = step["id"].as_str().or_else(|| step["call_id"].as_str()).unwrap_or_default();
        OpenPassthrough { id: id.to_owned(), step: PassthroughStep::new(step.clone()) }
    }

    /// Converts a delta into a part, if it has an equivalent.
    pub fn part(&mut self, delta: &Value, thoughts: bool) -> Option<Value> {
        self.step.add(delta);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match delta["type"].as_str()? {
            "text" => Some(encode::text(delta["text"].as_str()?)),
            "thought_summary" if thoughts => {
                Some(encode::thought(delta["content"]["text"].as_str()?))
            }
            "image" | "audio" | "video" | "document" => Some(match delta.get("uri") {
                Some(uri) => json!({"fileData": {"mimeType": delta["mime_type"], "fileUri": uri}}),
                None => json!({"inlineData": {
                    "mimeType": delta["mime_type"], "data": delta["data"],
                }}),
            }),
            "code_execution_call" => {
                let code = text(&delta["arguments"]["code"]);
                Some(encode::of_code(&self.id, &code, &text(&delta["signature"])))
            }
            "code_execution_result" => {
                let failed = delta["is_error"] == true;
                let outcome = if failed { "OUTCOME_FAILED" } else { "OUTCOME_OK" };
                Some(json!({"codeExecutionResult": {
                    "outcome": outcome, "output": delta["result"], "id": self.id,
                }}))
            }
            _ if invocation::is_of(delta) => invocation::of_step(&self.id, delta),
            _ => None,
        }
    }

    /// The part that is known only at the end.
    pub fn end(self) -> Option<Value> {
        let step = self.step.into_value();
        if step["type"] != "function_call" {
            return None;
        }
        Some(encode::of_function_call(&FunctionCall {
            id: self.id,
            name: step["name"].as_str()?.to_owned(),
            arguments: step["arguments"].clone(),
            signature: step["signature"].as_str().unwrap_or_default().to_owned(),
        }))
    }
}
