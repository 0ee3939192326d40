//! Parsers of texts that clients and scenario files contain, with limits on what they take.

pub mod glob;
pub mod json;
pub mod yaml;
