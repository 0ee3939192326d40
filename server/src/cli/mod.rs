//! What the program says at a terminal, and how it ends.

pub mod banner;
pub mod log;
pub mod report;
pub mod signals;
