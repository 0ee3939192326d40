//! The dialect of Vertex AI.

mod cached_contents;
mod closed;
mod dialect;
mod paths;
mod token;
