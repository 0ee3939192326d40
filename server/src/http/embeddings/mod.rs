//! The JSON of embeddings: `embedContent`, `batchEmbedContents`, and `predict` of Vertex AI.

pub mod answer;
pub mod openapi;
pub mod request;
