//! Bodies of `chat/completions`, to compare the schema with its reader.

use serde_json::{Value, json};

/// Requests with every field, and every form of fields that have several.
pub fn chat() -> Vec<Value> {
    let extra = json!({"google": {"thought_signature": "c2ln"}});
    let messages = json!([
        {"role": "system", "name": "n", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "a"}]},
        {"role": "user", "name": "n", "content": [
            {"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_data": "data:text/csv;base64,AAAA", "filename": "a"}},
            {"type": "file", "file": {"file_id": "files/a"}}]},
        {"role": "assistant", "name": "n", "refusal": "r", "annotations": [],
         "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "r"}],
         "extra_content": extra,
         "tool_calls": [{"id": "c", "type": "function", "index": 0, "extra_content": extra,
                         "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "name": "n", "tool_call_id": "c", "content": "1"},
        {"role": "user", "content": "a"},
    ]);
    let google = json!({
        "thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 1, "includeThoughts": true},
        "safetySettings": [{"category": "c", "threshold": "t", "method": "m"}],
    });
    let every = json!({
        "model": "m", "messages": messages,
        "tools": [{"type": "function", "function": {
            "name": "f", "description": "d", "parameters": {}, "strict": true}}],
        "tool_choice": "auto", "parallel_tool_calls": true,
        "temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "seed": 1,
        "max_tokens": 1, "max_completion_tokens": 1, "stop": "a", "n": 1,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "n", "description": "d", "strict": true, "schema": {}}},
        "stream": true, "stream_options": {"include_usage": true, "include_obfuscation": false},
        "user": "u", "google": google,
    });
    let mut other = every.clone();
    other["tool_choice"] = json!({"type": "function", "function": {"name": "f"}});
    other["stop"] = json!(["a"]);
    other["response_format"] = json!({"type": "text"});
    other["google"] = Value::Null;
    other["extra_body"] = json!({"google": google});
    let mut effort = other.clone();
    effort["extra_body"] = Value::Null;
    effort["reasoning_effort"] = "low".into();
    let cached = json!({
        "model": "m", "messages": [{"role": "user", "content": "a"}],
        "google": {"cachedContent": "cachedContents/a"},
    });
    let mut inside = cached.clone();
    inside["extra_body"] = json!({"google": inside["google"].take()});
    vec![every, other, effort, cached, inside]
}
