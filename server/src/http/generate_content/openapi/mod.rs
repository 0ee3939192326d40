//! Schemas of `generateContent` and related methods for the OpenAPI document.

mod part;
mod request;
mod response;
#[cfg(test)]
pub mod samples;
mod tool;

use serde_json::{Value, json};

use crate::http::openapi::schema::{any_of, text, word};
use crate::http::wire::proto;

pub use part::GENERATE_CONTENT;
pub use request::{COUNT, GENERATE, SAFETY_SETTINGS, THINKING_CONFIG, VERTEX_GENERATE};
pub use response::{
    COUNT_TOKENS_RESPONSE, GENERATE_CONTENT_RESPONSE, VERTEX_COUNT_TOKENS_RESPONSE,
    VERTEX_GENERATE_CONTENT_RESPONSE, details,
};
pub use tool::{GENERATE_TOOL, TOOL_CONFIG};

/// An enum value: one of its names, or any number.
fn enumeration(words: proto::Enum, others: &[&str]) -> Value {
    any_of(&[
        word(&[others, &words.names()].concat()),
        json!({"type": "integer", "format": "int32"}),
    ])
}

/// An enum value for which other names are accepted too.
pub fn any_name(words: proto::Enum) -> Value {
    let mut name = json!({"type": "string"});
    name["examples"] = words.names().into();
    any_of(&[name, json!({"type": "integer", "format": "int32"})])
}

/// A number, or a string of one, as in protobuf's JSON.
fn float(mut number: Value) -> Value {
    number["type"] = "number".into();
    any_of(&[number, text("The number as a string.")])
}

pub fn int32(mut number: Value) -> Value {
    number["type"] = "integer".into();
    number["format"] = "int32".into();
    any_of(&[number, text("The number as a string.")])
}
