//! Terminal output and the end of the program.

pub mod banner;
pub mod install;
pub mod log;
pub mod report;
pub mod signals;
