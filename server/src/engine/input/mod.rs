//! Checks the input of a request before the model reads it: its files, wherever they are stored, and
//! the function results in it.

pub mod calls;
mod extensions;
pub mod fetch;
pub mod files;
