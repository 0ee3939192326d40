//! The JSON of the OpenAI-compatible API: chat completions on the same engine, as
//! [`crate::http::generate_content`] is for Google's own form.
//!
//! ```text
//!   messages ──▶ contents and tools of generateContent ──▶ engine ──▶ parts ──▶ choices
//! ```
//!
//! Requests are checked by the rules of `generateContent`, as in the real service, which converts them
//! too.

pub mod answer;
mod config;
mod content;
pub mod embeddings;
mod message;
pub mod model;
pub mod openapi;
pub mod request;
pub mod stream;
mod tool;
