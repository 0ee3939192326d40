//! The input of an interaction: text, contents, and steps of earlier turns.

use serde_json::{Value, json};

use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_of, base64, list, only, open_request, request, text, word,
};

pub static INPUT: Schema = Schema::new("Input", input);
static CONTENT: Schema = Schema::new("Content", content);
static MODEL_CONTENT: Schema = Schema::new("ModelContent", model_content);
static STEP: Schema = Schema::new("Step", step);
static TURN: Schema = Schema::new("Turn", turn);

const KNOWN_STEPS: [&str; 12] = [
    "user_input",
    "model_output",
    "thought",
    "code_execution_call",
    "code_execution_result",
    "function_call",
    "function_result",
    "text",
    "image",
    "audio",
    "video",
    "document",
];
const KNOWN_CONTENTS: [&str; 5] = ["text", "image", "audio", "video", "document"];

fn input(schemas: &ComponentSchemas) -> Value {
    let element = any_of(&[schemas.named(&CONTENT), schemas.named(&STEP), schemas.named(&TURN)]);
    any_of(&[
        json!({"type": "string", "minLength": 1, "examples": ["print(6 * 7)"]}),
        element.clone(),
        json!({"type": "array", "items": element, "minItems": 1}),
    ])
}

fn content(_: &ComponentSchemas) -> Value {
    any_of(&[
        request(
            &["text"],
            json!({
                "type": only("text"),
                "text": {"type": "string"},
                "annotations": list(json!({})),
            }),
        ),
        media(json!({"data": base64("With or without padding, in either alphabet.")}), "data"),
        media(
            json!({"uri": text("The URI of an uploaded file, or a URL that the operator allows.")}),
            "uri",
        ),
    ])
}

fn model_content(_: &ComponentSchemas) -> Value {
    any_of(&[
        open_request(
            &["text"],
            json!({
                "type": only("text"),
                "text": {"type": "string"},
                "annotations": list(json!({})),
            }),
        ),
        open_media(),
        other("A content of an unknown type. Kept unchanged.", &KNOWN_CONTENTS),
    ])
}

fn step(schemas: &ComponentSchemas) -> Value {
    let signature = || text("Opaque. Send it back unchanged.");
    let call = |kind: &str, mut fields: Value| {
        fields["type"] = only(kind);
        fields["signature"] = signature();
        fields
    };
    any_of(&[
        request(
            &["type", "content"],
            json!({
                "type": only("user_input"),
                "content": contents(schemas, &CONTENT),
            }),
        ),
        open_request(
            &["type"],
            json!({
                "type": only("model_output"),
                "content": contents(schemas, &MODEL_CONTENT),
            }),
        ),
        open_request(
            &["type"],
            call("thought", json!({"summary": contents(schemas, &MODEL_CONTENT)})),
        ),
        open_request(
            &["type", "arguments"],
            call(
                "code_execution_call",
                json!({
                    "id": {"type": "string"},
                    "arguments": open_request(&["code"], json!({
                        "code": {"type": "string"},
                        "language": {"type": "string"},
                    })),
                }),
            ),
        ),
        open_request(
            &["type", "result"],
            call(
                "code_execution_result",
                json!({
                    "call_id": {"type": "string"},
                    "result": contents(schemas, &MODEL_CONTENT),
                    "is_error": {"type": "boolean"},
                }),
            ),
        ),
        open_request(
            &["type", "id", "name"],
            call(
                "function_call",
                json!({
                    "id": {"type": "string"},
                    "name": {"type": "string"},
                    "arguments": {"type": "object"},
                }),
            ),
        ),
        open_request(
            &["type", "call_id", "result"],
            json!({
                "type": only("function_result"),
                "call_id": {"type": "string", "minLength": 1},
                "name": {"type": "string"},
                "result": any_of(&[
                    json!({"type": "string"}), json!({"type": "object"}), list(json!({})),
                ]),
                "is_error": {"type": "boolean"},
            }),
        ),
        other("A step of another tool. Kept unchanged.", &KNOWN_STEPS),
    ])
}

fn turn(schemas: &ComponentSchemas) -> Value {
    request(
        &["role", "content"],
        json!({
            "role": word(&["user", "model"]),
            "content": any_of(&[contents(schemas, &CONTENT), contents(schemas, &MODEL_CONTENT)]),
        }),
    )
}

/// A text, a content, or a list of contents.
fn contents(schemas: &ComponentSchemas, of: &'static Schema) -> Value {
    any_of(&[json!({"type": "string"}), schemas.named(of), list(schemas.named(of))])
}

/// An object of a type that is none of these.
fn other(description: &str, known: &[&str]) -> Value {
    json!({
        "type": "object",
        "description": description,
        "required": ["type"],
        "properties": {"type": {"type": "string", "not": {"enum": known}}},
    })
}

fn media(source: Value, required: &str) -> Value {
    let mut fields = media_fields();
    for (name, schema) in source.as_object().into_iter().flatten() {
        fields[name] = schema.clone();
    }
    request(&["type", required], fields)
}

fn open_media() -> Value {
    let mut fields = media_fields();
    fields["data"] = base64("Alternative to `uri`.");
    fields["uri"] = json!({"type": "string"});
    open_request(&["type"], fields)
}

fn media_fields() -> Value {
    json!({
        "type": word(&["image", "audio", "video", "document"]),
        "mime_type": text("Such as `text/csv`. Derived from the bytes if missing."),
        "resolution": {}, "processing": {}, "channels": {}, "sample_rate": {}, "name": {},
    })
}
