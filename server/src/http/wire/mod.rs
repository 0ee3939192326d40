//! Converts between Google's JSON and our types.
//!
//! Requests are parsed by hand, field by field: an error names the path of the field
//! (`input[0].content[1].data`), and unknown fields are errors.

pub mod content;
pub mod event;
pub mod execute;
pub mod file;
pub mod format;
pub mod generation;
pub mod input;
pub mod interaction;
pub mod json_reader;
pub mod openapi;
pub mod proto;
pub mod request;
pub mod step;
pub mod tool;
pub mod usage;

pub use json_reader::{COMPATIBILITY_PAGE, WireError};
