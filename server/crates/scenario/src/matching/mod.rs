//! Decides which scenario answers a conversation.

pub mod matcher;
pub mod offer;
pub mod shadow;
