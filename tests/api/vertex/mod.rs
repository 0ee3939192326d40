//! The dialect of Vertex AI, and embeddings.

mod closed;
mod dialect;
mod paths;
mod token;
