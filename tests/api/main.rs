//! Tests of the API through HTTP, one folder per subject.

mod batches;
mod cached_contents;
mod chat_completions;
mod contract;
mod embeddings;
mod fake;
mod file_search;
mod gemini;
mod generate_content;
mod interactions;
mod observability;
mod openai;
mod operations;
mod record;
mod sessions;
mod testing;
mod vertex;
