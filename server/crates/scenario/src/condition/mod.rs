//! The conditions of a scenario, and the conversation as they see it.

pub mod after;
pub mod asked;
pub mod conversation;
pub mod given;
pub mod same;
pub mod time;
pub mod when;
pub mod words;
