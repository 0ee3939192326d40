//! The conditions of a scenario, and the conversation as they see it.

pub mod after;
pub mod asked;
pub mod conversation;
pub mod given;
pub mod patience;
pub mod same;
pub mod when;
pub mod words;
