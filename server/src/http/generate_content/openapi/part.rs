//! Contents and parts of a request.

use serde_json::{Value, json};

use super::{any_name, enumeration};
use crate::http::generate_content::part::ABOUT;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, any_of, base64, list, request, text, word,
};
use crate::http::wire::proto;

pub static GENERATE_CONTENT: Schema = Schema::new("GenerateContent", content);
static PART: Schema = Schema::new("Part", part);

fn content(schemas: &ComponentSchemas) -> Value {
    request(
        &["parts"],
        json!({
            "role": word(&["user", "model", "function", ""]),
            "parts": any_of(&[schemas.named(&PART), list(schemas.named(&PART))]),
        }),
    )
}

fn part(_: &ComponentSchemas) -> Value {
    let mut part = json!({
        "thought": {"type": "boolean"},
        "thoughtSignature": text("Opaque. Send it back unchanged."),
        "text": {"type": "string"},
        "inlineData": blob(),
        "fileData": file(),
        "executableCode": request(&["code"], json!({
            "code": {"type": "string"},
            "language": enumeration(proto::LANGUAGE, &["python"]),
            "id": {"type": "string"},
        })),
        "codeExecutionResult": request(&[], json!({
            "outcome": enumeration(proto::OUTCOME, &[]),
            "output": {"type": "string"},
            "id": {"type": "string"},
        })),
        "functionCall": request(&["name"], json!({
            "name": {"type": "string"},
            "args": {"type": "object"},
            "id": {"type": "string"},
            "partialArgs": {},
            "willContinue": {"type": "boolean"},
        })),
        "functionResponse": request(&["name"], json!({
            "name": {"type": "string"},
            "response": {"type": "object"},
            "id": {"type": "string"},
            "willContinue": {"type": "boolean"},
            "scheduling": any_name(proto::SCHEDULING),
            "parts": list(request(&[], json!({"inlineData": blob(), "fileData": file()}))),
        })),
        "toolCall": invocation("args"),
        "toolResponse": invocation("response"),
    });
    for name in ABOUT {
        part[*name] = json!({"description": "Accepted and ignored."});
    }
    request(&[], part)
}

fn blob() -> Value {
    request(
        &["data"],
        json!({
            "data": base64("With or without padding, in either alphabet."),
            "mimeType": {"type": "string"},
            "displayName": {"type": "string"},
        }),
    )
}

fn file() -> Value {
    request(
        &["fileUri"],
        json!({
            "fileUri": text("The URI of an uploaded file, or a URL that the operator allows."),
            "mimeType": {"type": "string"},
            "displayName": {"type": "string"},
        }),
    )
}

/// A call of a server's tool, or its result.
fn invocation(payload: &str) -> Value {
    let mut fields = json!({"toolType": any_name(proto::TOOL_TYPE), "id": {"type": "string"}});
    fields[payload] = json!({"type": "object"});
    request(&[], fields)
}
