//! Decides which scenario answers: the conversation, as conditions see it, and the conditions.

pub mod after;
pub mod asked;
pub mod condition;
pub mod conversation;
pub mod given;
pub mod matcher;
pub mod offer;
pub mod same;
pub mod shadow;
pub mod words;
