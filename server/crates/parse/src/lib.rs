//! Parsers of texts that clients, scenario files and settings contain, with limits on what they take.

#![forbid(unsafe_code)]

pub mod glob;
pub mod json;
pub mod units;
pub mod url;
pub mod yaml;
