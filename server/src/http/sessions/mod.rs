//! The JSON of sessions, and the streams of their output.

mod answer;
pub mod openapi;
mod pieces;
pub mod request;
pub mod stream;

pub use answer::{executed, file_list, session};
