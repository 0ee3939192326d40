//! The body of `chat/completions`.

use serde_json::{Value, json};

use super::message::CHAT_MESSAGE;
#[cfg(test)]
use super::samples;
use crate::http::generate_content::openapi::{SAFETY_SETTINGS, THINKING_CONFIG};
#[cfg(test)]
use crate::http::openai::request as reader;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_object, any_of, flag, list, only, request, text, word,
};

pub static CHAT: RequestBody = RequestBody {
    schema: &CHAT_COMPLETION_REQUEST,
    #[cfg(test)]
    reader: BodyReader::new(|body| reader::chat(body, |_| false, None).map(drop), samples::chat),
};

static CHAT_COMPLETION_REQUEST: Schema = Schema::new("ChatCompletionRequest", chat);

fn chat(schemas: &ComponentSchemas) -> Value {
    let string = || json!({"type": "string"});
    let number = |from: f64, to: f64| json!({"type": "number", "minimum": from, "maximum": to});
    let limit = || json!({"type": "integer", "minimum": 1, "maximum": i32::MAX});
    let function = request(
        &["name"],
        json!({
            "name": string(),
            "description": string(),
            "parameters": any_object("JSON Schema."),
            "strict": flag("Accepted and ignored."),
        }),
    );
    let tool =
        request(&["type", "function"], json!({"type": only("function"), "function": function}));
    let chosen = request(
        &["type", "function"],
        json!({"type": only("function"), "function": request(&["name"], json!({"name": string()}))}),
    );
    let schema = request(
        &[],
        json!({
            "name": string(), "description": string(), "strict": {"type": "boolean"},
            "schema": {"description": "JSON Schema."},
        }),
    );
    let format = any_of(&[
        request(&["type"], json!({"type": word(&["text", "json_object"])})),
        request(
            &["type", "json_schema"],
            json!({"type": only("json_schema"), "json_schema": schema}),
        ),
    ]);
    let stream = request(
        &[],
        json!({
            "include_usage": flag("Whether a last chunk has the token counts."),
            "include_obfuscation": flag("Accepted and ignored."),
        }),
    );
    let google = || {
        request(
            &[],
            json!({
                "thinkingConfig": schemas.named(&THINKING_CONFIG),
                "safetySettings": schemas.named(&SAFETY_SETTINGS),
                "cachedContent": text("`cachedContents/` and the id. Excludes instructions and tools."),
            }),
        )
    };
    let fields = json!({
        "model": text("With or without `models/` or `google/` before it."),
        "messages": list(schemas.named(&CHAT_MESSAGE)),
        "tools": list(tool),
        "tool_choice": any_of(&[word(&["auto", "none", "required"]), chosen]),
        "parallel_tool_calls": flag("Accepted and ignored."),
        "temperature": number(0.0, 2.0),
        "top_p": number(0.0, 1.0),
        "presence_penalty": number(-2.0, 2.0),
        "frequency_penalty": number(-2.0, 2.0),
        "seed": {"type": "integer"},
        "max_tokens": limit(),
        "max_completion_tokens": limit(),
        "stop": any_of(&[
            string(), json!({"type": "array", "items": {"type": "string"}, "maxItems": 5}),
        ]),
        "n": {"type": "integer", "minimum": 1, "maximum": 8},
        "response_format": format,
        "reasoning_effort": word(&["none", "minimal", "low", "medium", "high"]),
        "stream": flag("Whether the answer is a stream of chunks."),
        "stream_options": stream,
        "user": string(),
        "google": google(),
        "extra_body": request(&[], json!({"google": google()})),
    });
    request(&["model", "messages"], fields)
}
