//! The JSON of `generateContent`, the older API on the same engine, as [`super::wire`] is for the
//! interactions API.
//!
//! A conversation is a list of contents, each with a role and parts. This module converts them to
//! steps and the steps of an answer to parts. The format is protobuf's JSON, so each name has two
//! spellings.

pub mod answer;
mod config;
mod content;
mod encode;
pub mod file;
mod generation;
pub mod grounding;
mod history;
pub mod model;
mod part;
mod passthrough;
pub mod proto;
pub mod request;
mod schema;
pub mod stream;
mod tool;

use axum::response::{IntoResponse, Response};
use serde_json::Value;

pub use config::IGNORED as IGNORED_CONFIG;
pub use part::ABOUT as ABOUT_A_PART;
#[cfg(test)]
pub use tool::ABSENT as ABSENT_TOOLS;

use super::error::ApiError;
use super::lines::Json;
use super::wire::WireError;

/// `qwen3:8b:generateContent` is the method `generateContent` of the model `qwen3:8b`.
pub fn part_of_url(rest: &str) -> (&str, &str) {
    rest.rsplit_once(':').unwrap_or((rest, ""))
}

/// The error in the words of this API, where the real service's are known.
pub fn refusal(error: WireError) -> ApiError {
    ApiError::invalid(match error {
        WireError::Unknown(path) => match path.rsplit_once('.') {
            Some((place, name)) => unknown(name, &format!(" at '{place}'")),
            None => unknown(&path, ""),
        },
        other => other.to_string(),
    })
}

/// A JSON response.
pub fn json(body: &Value) -> Response {
    Json(body).into_response()
}

fn unknown(name: &str, place: &str) -> String {
    format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.")
}
