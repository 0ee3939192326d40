//! The dialect of Vertex AI.

mod closed;
mod dialect;
mod paths;
mod token;
