//! Language models that the server can ask, each an implementation of [`backend::Backend`].

pub mod direct;
pub mod gemini;
pub mod kind;
mod markdown;
pub mod openai;
mod replay;
pub mod router;
pub mod scripted;
pub mod upstream;
