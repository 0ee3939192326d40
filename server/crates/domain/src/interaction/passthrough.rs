//! Steps of tools, and of an upstream with the same API, which are kept and shown unchanged.
//!
//! They are JSON in Google's format. This module only knows how to join deltas to steps.

use serde_json::{Map, Value};

use parse::json;

/// A step of which more deltas may follow.
#[derive(Debug, Clone, PartialEq)]
pub struct PassthroughStep {
    step: Value,
    /// JSON text of a function call's arguments.
    arguments: String,
}

impl PassthroughStep {
    /// `step` is its first event.
    pub fn new(step: Value) -> PassthroughStep {
        PassthroughStep { step, arguments: String::new() }
    }

    pub fn add(&mut self, delta: &Value) {
        add(&mut self.step, &mut self.arguments, delta);
    }

    pub fn into_value(self) -> Value {
        let PassthroughStep { mut step, arguments } = self;
        stop(&mut step, &arguments);
        step
    }
}

/// Joins a delta to a step. `arguments` collects the JSON text of arguments until the step stops.
pub fn add(step: &mut Value, arguments: &mut String, delta: &Value) {
    let Value::Object(fields) = step else { return };
    match delta["type"].as_str().unwrap_or_default() {
        "text" => add_text(list(fields, "content"), delta),
        "thought_summary" => add_text(list(fields, "summary"), &delta["content"]),
        "text_annotation_delta" => annotate(list(fields, "content"), &delta["annotations"]),
        "arguments_delta" => arguments.push_str(delta["arguments"].as_str().unwrap_or_default()),
        "image" | "audio" | "video" | "document" => list(fields, "content").push(delta.clone()),
        // All other deltas have the whole payload.
        _ => add_members(fields, delta),
    }
}

pub fn stop(step: &mut Value, arguments: &str) {
    if let (Ok(arguments), Value::Object(fields)) = (json::parse(arguments.as_bytes()), step) {
        fields.insert("arguments".to_owned(), arguments);
    }
}

fn list<'s>(fields: &'s mut Map<String, Value>, name: &str) -> &'s mut Vec<Value> {
    let list = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if !list.is_array() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut().expect("it is an array now")
}

/// Joins pieces of a text to one content.
fn add_text(contents: &mut Vec<Value>, piece: &Value) {
    match contents.last_mut() {
        Some(Value::Object(last)) if last.get("text").is_some_and(Value::is_string) => {
            if let Some(Value::String(text)) = last.get_mut("text") {
                text.push_str(piece["text"].as_str().unwrap_or_default());
            }
            add_members(last, piece);
        }
        _ => contents.push(piece.clone()),
    }
}

fn annotate(contents: &mut [Value], annotations: &Value) {
    if let (Some(Value::Object(last)), Value::Array(more)) = (contents.last_mut(), annotations) {
        list(last, "annotations").extend(more.iter().cloned());
    }
}

fn add_members(to: &mut Map<String, Value>, delta: &Value) {
    for (name, value) in delta.as_object().into_iter().flatten() {
        let name = match name.as_str() {
            "type" | "text" => continue,
            // An empty signature is a placeholder.
            "signature" if value == "" => continue,
            name => name,
        };
        to.insert(name.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(start: Value, deltas: &[Value]) -> Value {
        let mut step = PassthroughStep::new(start);
        for delta in deltas {
            step.add(delta);
        }
        step.into_value()
    }

    #[test]
    fn joined_deltas_equal_the_whole_step() {
        for (start, deltas, whole) in [
            (
                json!({"id": "c", "signature": "", "type": "code_execution_call", "new": 1}),
                vec![json!({"type": "code_execution_call", "signature": "c2ln",
                            "arguments": {"language": "python", "code": "1"}, "newer": 2})],
                json!({"id": "c", "signature": "c2ln", "type": "code_execution_call", "new": 1,
                       "arguments": {"language": "python", "code": "1"}, "newer": 2}),
            ),
            (
                json!({"type": "model_output"}),
                vec![
                    json!({"type": "text", "text": "A"}),
                    json!({"type": "text", "text": "B", "x": 1}),
                    json!({"type": "text_annotation_delta", "annotations": [{"url": "u"}]}),
                    json!({"type": "image", "data": "aa", "mime_type": "image/png"}),
                    json!({"type": "text", "text": "C"}),
                ],
                json!({"type": "model_output", "content": [
                    {"type": "text", "text": "AB", "x": 1, "annotations": [{"url": "u"}]},
                    {"type": "image", "data": "aa", "mime_type": "image/png"},
                    {"type": "text", "text": "C"}]}),
            ),
            (
                json!({"type": "thought"}),
                vec![
                    json!({"type": "thought_summary", "content": {"type": "text", "text": "H"}}),
                    json!({"type": "thought_summary", "content": {"type": "text", "text": "m"}}),
                    json!({"type": "thought_signature", "signature": "c2ln"}),
                ],
                json!({"type": "thought", "summary": [{"type": "text", "text": "Hm"}],
                       "signature": "c2ln"}),
            ),
            (
                json!({"type": "function_call", "id": "f", "name": "n", "arguments": {}}),
                vec![
                    json!({"type": "arguments_delta", "arguments": "{\"a\":"}),
                    json!({"type": "arguments_delta", "arguments": "1}"}),
                ],
                json!({"type": "function_call", "id": "f", "name": "n", "arguments": {"a": 1}}),
            ),
        ] {
            assert_eq!(step(start, &deltas), whole);
        }
    }

    #[test]
    fn malformed_steps_and_deltas_do_no_harm() {
        for start in [json!(null), json!([]), json!({"content": 7, "summary": "x"})] {
            for delta in [
                json!(null),
                json!({"type": "text", "text": 7}),
                json!({"type": "thought_summary"}),
                json!({"type": "arguments_delta", "arguments": "{"}),
                json!({"type": "text_annotation_delta", "annotations": 1}),
            ] {
                step(start.clone(), &[delta.clone(), delta]);
            }
        }
    }
}
