//! What is embedded, and the vectors that a model makes of it.

use bytes::Bytes;

use domain::owner::Owner;

/// A request for vectors, one for each input.
#[derive(Debug, Clone)]
pub struct Embed {
    /// Without `models/`.
    pub model: String,
    pub inputs: Vec<EmbedInput>,
    /// The tenant whose request it is.
    pub owner: Owner,
}

#[derive(Debug, Clone, Default)]
pub struct EmbedInput {
    pub parts: Vec<EmbedPart>,
    /// Google's word for what the vector is for. The server's own vectors do not depend on it.
    pub task_type: Option<String>,
    pub title: Option<String>,
    /// Size of the vector; `None` is the model's own.
    pub dimensions: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbedPart {
    Text(String),
    Media { mime_type: String, content: MediaContent },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaContent {
    Here(Bytes),
    /// A file on disk, by its SHA-256 in hexadecimal.
    Stored(String),
}

/// Vectors, in the order of their inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    pub vectors: Vec<Vec<f32>>,
    /// The model's own count, if it has one.
    pub tokens: Option<u64>,
}
