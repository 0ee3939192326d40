//! Google's JSON, spelled Google's way, and our types. No behaviour.
//!
//! Requests are read by hand, field by field: what a client gets to read about its mistake says
//! where it is (`input[0].content[1].data`), and no field is ignored that nobody decided on.

pub mod content;
pub mod event;
pub mod execute;
pub mod format;
pub mod generation;
pub mod input;
pub mod interaction;
pub mod node;
pub mod request;
pub mod step;
pub mod tool;
pub mod usage;

pub use node::WireError;
