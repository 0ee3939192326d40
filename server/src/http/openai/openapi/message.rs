//! Messages of a request.

use serde_json::{Value, json};

use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_of, base64, list, only, request, text, word,
};

pub static CHAT_MESSAGE: Schema = Schema::new("ChatMessage", message);

fn message(_: &ComponentSchemas) -> Value {
    let string = || json!({"type": "string"});
    let text_part = || request(&["type", "text"], json!({"type": only("text"), "text": string()}));
    let refusal =
        || request(&["type", "refusal"], json!({"type": only("refusal"), "refusal": string()}));
    let texts = || any_of(&[string(), list(any_of(&[text_part(), refusal()]))]);
    let instruction = json!({
        "role": word(&["system", "developer"]), "name": string(), "content": texts(),
    });
    let user = json!({
        "role": only("user"),
        "name": string(),
        "content": any_of(&[string(), json!({
            "type": "array",
            "minItems": 1,
            "items": any_of(&[text_part(), image(), audio(), file()]),
        })]),
    });
    let assistant = json!({
        "role": only("assistant"),
        "name": string(),
        "content": texts(),
        "refusal": string(),
        "annotations": {"type": "array"},
        "tool_calls": list(call()),
        "extra_content": extra_content(),
    });
    let result = json!({
        "role": only("tool"), "name": string(), "tool_call_id": string(), "content": texts(),
    });
    any_of(&[
        request(&["role", "content"], instruction),
        request(&["role", "content"], user),
        request(&["role"], assistant),
        request(&["role", "tool_call_id", "content"], result),
    ])
}

fn image() -> Value {
    let about = json!({
        "url": text("`data:image/png;base64,…`, an uploaded file, or an address that this server fetches."),
        "detail": {"type": "string"},
    });
    let fields = json!({"type": only("image_url"), "image_url": request(&["url"], about)});
    request(&["type", "image_url"], fields)
}

fn audio() -> Value {
    let about = json!({"data": base64("The sound."), "format": word(&["wav", "mp3"])});
    let fields =
        json!({"type": only("input_audio"), "input_audio": request(&["data", "format"], about)});
    request(&["type", "input_audio"], fields)
}

fn file() -> Value {
    let about = json!({
        "file_data": text("`data:text/csv;base64,…`"),
        "file_id": text("An uploaded file: `files/abc` or its id."),
        "filename": {"type": "string"},
    });
    let fields = json!({"type": only("file"), "file": request(&[], about)});
    request(&["type", "file"], fields)
}

fn call() -> Value {
    let string = || json!({"type": "string"});
    let function = json!({"name": string(), "arguments": text("The text of a JSON object.")});
    let fields = json!({
        "id": string(),
        "type": only("function"),
        "index": {"type": "integer"},
        "function": request(&["name"], function),
        "extra_content": extra_content(),
    });
    request(&["id", "function"], fields)
}

fn extra_content() -> Value {
    let google = json!({"thought_signature": text("Opaque. Send it back unchanged.")});
    request(&[], json!({"google": request(&[], google)}))
}
