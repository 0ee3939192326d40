//! Schemas of the OpenAI-compatible API for the OpenAPI document.

mod message;
mod request;
mod response;
#[cfg(test)]
mod samples;

pub use request::CHAT;
pub use response::{CHAT_COMPLETION, CHAT_COMPLETION_CHUNK, CHAT_MODEL, CHAT_MODELS};
