//! Completions, their chunks, and models.

use serde_json::{Value, json};

use crate::http::openapi::schema::{
    ComponentSchemas, Schema, answer, count, list, only, text, word,
};

pub static CHAT_COMPLETION: Schema = Schema::new("ChatCompletion", |_| {
    let message = json!({
        "role": only("assistant"),
        "content": {"type": ["string", "null"]},
        "tool_calls": list(call(false)),
    });
    let choice = json!({
        "index": count("From 0."),
        "message": answer(&["tool_calls"], message),
        "finish_reason": finish_reason(),
    });
    let mut fields = head("chat.completion", list(answer(&[], choice)));
    fields["usage"] = usage();
    answer(&[], fields)
});

pub static CHAT_COMPLETION_CHUNK: Schema = Schema::new("ChatCompletionChunk", |_| {
    let delta = json!({
        "role": only("assistant"),
        "content": {"type": "string"},
        "tool_calls": list(call(true)),
    });
    let choice = json!({
        "index": count("From 0."),
        "delta": answer(&["role", "content", "tool_calls"], delta),
        "finish_reason": finish_reason(),
    });
    let mut fields = head("chat.completion.chunk", list(answer(&["finish_reason"], choice)));
    fields["usage"] = usage();
    answer(&["usage"], fields)
});

pub static CHAT_MODEL: Schema = Schema::new("ChatModel", |_| {
    let fields = json!({
        "id": text("With `models/` before the name."),
        "object": only("model"),
        "owned_by": {"type": "string"},
        "display_name": {"type": "string"},
    });
    answer(&[], fields)
});

pub static CHAT_MODELS: Schema = Schema::new("ChatModels", |schemas: &ComponentSchemas| {
    answer(&[], json!({"object": only("list"), "data": list(schemas.named(&CHAT_MODEL))}))
});

fn head(object: &str, choices: Value) -> Value {
    json!({
        "id": {"type": "string"},
        "object": only(object),
        "created": count("In seconds since 1970."),
        "model": {"type": "string"},
        "choices": choices,
    })
}

fn finish_reason() -> Value {
    word(&["stop", "length", "tool_calls", "content_filter"])
}

fn call(is_in_stream: bool) -> Value {
    let string = || json!({"type": "string"});
    let function = json!({"name": string(), "arguments": text("The text of a JSON object.")});
    let google = json!({"thought_signature": text("Opaque. Send it back unchanged.")});
    let mut fields = json!({
        "id": string(),
        "type": only("function"),
        "function": answer(&[], function),
        "extra_content": answer(&[], json!({"google": answer(&[], google)})),
    });
    if is_in_stream {
        fields["index"] = count("From 0.");
    }
    answer(&["extra_content"], fields)
}

fn usage() -> Value {
    let details = answer(&[], json!({"cached_tokens": count("Cached part of the prompt.")}));
    let fields = json!({
        "prompt_tokens": count("The prompt, counted once."),
        "completion_tokens": count("Generated text and calls of all choices."),
        "total_tokens": count("The total, with thoughts."),
        "prompt_tokens_details": details,
    });
    answer(&["prompt_tokens_details"], fields)
}
