//! Steps that another server runs, as parts. They are in the words of the interactions API.

use serde_json::{Value, json};

use super::say;
use crate::interaction::{ForeignStep, FunctionCall};

/// A step that is still coming.
#[derive(Debug)]
pub struct Foreign {
    /// Its id, or that of the call which it answers.
    id: String,
    step: ForeignStep,
}

impl Foreign {
    pub fn new(step: &Value) -> Foreign {
        let id = step["id"].as_str().or_else(|| step["call_id"].as_str()).unwrap_or_default();
        Foreign { id: id.to_owned(), step: ForeignStep::new(step.clone()) }
    }

    /// What a delta is, where it is a part at all.
    pub fn part(&mut self, delta: &Value, thoughts: bool) -> Option<Value> {
        self.step.add(delta);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match delta["type"].as_str()? {
            "text" => Some(say::text(delta["text"].as_str()?)),
            "thought_summary" if thoughts => Some(say::thought(delta["content"]["text"].as_str()?)),
            "image" | "audio" | "video" | "document" => Some(match delta.get("uri") {
                Some(uri) => json!({"fileData": {"mimeType": delta["mime_type"], "fileUri": uri}}),
                None => json!({"inlineData": {
                    "mimeType": delta["mime_type"], "data": delta["data"],
                }}),
            }),
            "code_execution_call" => {
                let code = text(&delta["arguments"]["code"]);
                Some(say::of_code(&self.id, &code, &text(&delta["signature"])))
            }
            "code_execution_result" => {
                let failed = delta["is_error"] == true;
                let outcome = if failed { "OUTCOME_FAILED" } else { "OUTCOME_OK" };
                Some(json!({"codeExecutionResult": {
                    "outcome": outcome, "output": delta["result"], "id": self.id,
                }}))
            }
            _ => None,
        }
    }

    /// What is known at the end alone.
    pub fn end(self) -> Option<Value> {
        let step = self.step.into_value();
        if step["type"] != "function_call" {
            return None;
        }
        Some(say::of_function_call(&FunctionCall {
            id: self.id,
            name: step["name"].as_str()?.to_owned(),
            arguments: step["arguments"].clone(),
            signature: step["signature"].as_str().unwrap_or_default().to_owned(),
        }))
    }
}
