//! Tests of the API through HTTP, one folder per subject.

#[path = "../harness/mod.rs"]
mod harness;

mod gemini;
mod generate_content;
mod interactions;
mod openai;
mod operations;
mod record;
mod testing;
