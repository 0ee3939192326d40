//! Bodies of `POST /interactions`, to compare the schema with its reader.

use serde_json::{Value, json};

/// Requests with every field, and every form of fields that have several.
pub fn bodies() -> Vec<Value> {
    let media = |kind: &str, source: &str| {
        json!({"type": kind, source: "AAAA", "mime_type": "a/b", "resolution": "low",
               "processing": "static", "channels": 1, "sample_rate": 2, "name": "n"})
    };
    let text = json!({"type": "text", "text": "a", "annotations": [{}]});
    let function = json!({"type": "function", "name": "f", "description": "d",
        "parameters": {}, "short_description": "s", "defer_loading": true});
    let messages = ["user_input", "model_output", "thought"].map(|kind| {
        let place = if kind == "thought" { "summary" } else { "content" };
        json!({"type": kind, place: [text, media("image", "data"), media("document", "uri")]})
    });
    let every = json!({
        "model": "m", "stream": true, "store": true, "background": false,
        "previous_interaction_id": "v1_x", "system_instruction": "s", "service_tier": "flex",
        "response_modalities": ["text"],
        "input": messages,
        "tools": [{"type": "code_execution"}, {"type": "google_search", "search_types": []}, function,
                  {"type": "url_context"},
                  {"type": "google_maps", "latitude": 1, "longitude": 1, "enable_widget": true},
                  {"type": "mcp_server", "name": "m", "url": "http://h/", "headers": {"a": "b"},
                   "allowed_tools": [{"mode": "auto", "tools": ["t"]}], "defer_loading": true},
                  {"type": "computer_use", "environment": "browser",
                   "excluded_predefined_functions": ["search"],
                   "disabled_safety_policies": ["data_modification"],
                   "enable_prompt_injection_detection": true},
                  {"type": "tool_search", "execution": "server", "name": "s", "description": "d",
                   "parameters": {}}],
        "generation_config": {
            "temperature": 1, "top_p": 1, "seed": 1, "max_output_tokens": 1, "stop_sequences": ["a"],
            "thinking_level": "low", "thinking_summaries": "auto", "image_config": {},
            "transcription_config": {}, "video_config": {}, "speech_config": {},
            "tool_choice": {"allowed_tools": {"mode": "any", "tools": ["f"]}},
        },
        "response_format": [
            {"type": "text", "mime_type": "application/json", "schema": {}},
            {"type": "image", "aspect_ratio": "1:1", "image_size": "1K", "mime_type": "image/jpeg",
             "delivery": "uri"},
            {"type": "audio", "bit_rate": 1, "sample_rate": 1, "mime_type": "audio/wav",
             "delivery": "inline"},
            {"type": "video", "aspect_ratio": "1:1", "duration": "8s", "gcs_uri": "gs://a",
             "resolution": "4k", "delivery": "uri"},
        ],
    });
    let mut steps = every.clone();
    steps["tools"] = json!([
        {"code_execution": {}}, {"codeExecution": {}},
        {"type": "file_search", "file_search_store_names": ["fileSearchStores/s"],
         "metadata_filter": "a = 1", "top_k": 1},
        {"type": "tool_search", "execution": "client", "name": "f", "description": "d",
         "parameters": {}, "short_description": "s", "defer_loading": true},
    ]);
    steps["response_format"] = json!({"type": "object"});
    steps["generation_config"] = json!({"tool_choice": "auto", "speech_config": [{}]});
    steps["input"] = json!([
        text, media("audio", "data"), {"text": "b"}, media("video", "uri"),
        {"role": "model", "content": [text, media("image", "data"), {"type": "of_tomorrow"}]},
        {"role": "user", "content": "c"},
        {"type": "code_execution_call", "id": "c", "signature": "s",
         "arguments": {"code": "1", "language": "python"}},
        {"type": "code_execution_result", "call_id": "c", "signature": "s", "is_error": false,
         "result": [text, media("image", "data")]},
        {"type": "function_call", "id": "f", "name": "f", "arguments": {}, "signature": "c2ln"},
        {"type": "function_result", "call_id": "f", "name": "f", "is_error": true,
         "result": [{"type": "text", "text": "a", "annotations": []}, media("image", "uri")]},
        {"type": "url_context_call", "id": "u", "arguments": {"urls": ["http://h/"]}},
        {"type": "url_context_result", "call_id": "u",
         "result": [{"url": "http://h/", "status": "success"}]},
        {"type": "of_a_tool_of_tomorrow", "anything": 1},
    ]);
    let mut one = every.clone();
    one["input"] = text;
    let mut plain = every.clone();
    plain["input"] = "hello".into();

    vec![every, steps, one, plain]
}

/// The same in the dialect of Vertex AI.
pub fn vertex() -> Vec<Value> {
    let mut samples = bodies();
    samples[0]["labels"] = json!({});
    samples[0]["safety_settings"] = json!([{}]);
    samples
}
