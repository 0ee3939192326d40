//! The JSON of batches, and the tasks that run them.
//!
//! ```text
//!   create ──▶ lines ──▶ store ──▶ BatchRunner ──▶ engine, for each line ──▶ store ──▶ results
//! ```

mod line;
pub mod openapi;
pub mod operation;
pub mod request;
pub mod results;
mod runner;

pub use runner::BatchRunner;
