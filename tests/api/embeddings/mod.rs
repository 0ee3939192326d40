//! Embeddings: those that the server makes, and those of other servers.

mod hashed;
mod openai_path;
mod upstream;
