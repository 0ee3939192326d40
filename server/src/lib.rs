//! Belljar's server: Gemini's Interactions API over a model that is plugged in and code that runs.

#![forbid(unsafe_code)]

pub mod backend;
pub mod engine;
mod ids;
pub mod interaction;
pub mod sandbox;
pub mod store;
