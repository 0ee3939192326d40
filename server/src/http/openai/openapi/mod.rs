//! Schemas of the OpenAI-compatible API for the OpenAPI document.

mod embeddings;
mod message;
mod request;
mod response;
#[cfg(test)]
mod samples;

pub use embeddings::{EMBED_TEXTS, TEXT_EMBEDDINGS};
pub use request::CHAT;
pub use response::{CHAT_COMPLETION, CHAT_COMPLETION_CHUNK, CHAT_MODEL, CHAT_MODELS};
