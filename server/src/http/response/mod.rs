//! Bodies of responses: JSON, JSON in chunks, and server-sent events.

pub mod json;
pub mod pieces;
pub mod sse;
