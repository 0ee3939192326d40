//! The JSON of `generateContent`, the older API on the same engine, as [`crate::http::wire`] is for the
//! interactions API.
//!
//! A conversation is a list of contents, each with a role and parts. This module converts them to
//! steps and the steps of an answer to parts. The format is protobuf's JSON, so each name has two
//! spellings.

pub mod answer;
pub mod config;
pub mod content;
mod encode;
pub mod generation;
pub mod grounding;
pub mod history;
pub mod openapi;
pub mod part;
mod passthrough;
pub mod prefix;
pub mod request;
mod schema;
pub mod stream;
pub mod tool;
pub mod usage;
pub mod whole;

/// `qwen3:8b:generateContent` is the method `generateContent` of the model `qwen3:8b`.
pub fn part_of_url(rest: &str) -> (&str, &str) {
    rest.rsplit_once(':').unwrap_or((rest, ""))
}
