//! The request of a client, in the form that the conditions of a scenario use.

use serde_json::Value as Json;

use super::chain::{Calls, Chain};
use crate::backend::Prompt;

/// The newest input of a conversation, and the client's messages before it.
#[derive(Debug, PartialEq)]
pub struct Asked {
    /// The newest user text.
    pub input: String,
    pub turn: usize,
    /// The client's earlier messages, oldest first.
    pub earlier: Vec<Said>,
    /// The function results in the newest request.
    pub answered: Vec<Said>,
    /// Index of the first of the client's newest steps.
    pub start: usize,
}

/// A message of the client.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Text(String),
    /// A function result without its wrapping.
    Result {
        name: String,
        value: Json,
    },
}

pub fn asked(prompt: &Prompt) -> Asked {
    let calls = Calls::of(prompt);
    let chain = Chain::new(prompt, &calls);
    let newest = chain.newest_of_client();
    let scene = chain.scene(&newest);
    Asked {
        input: scene.input,
        turn: scene.turn,
        earlier: scene.earlier,
        answered: scene.results,
        start: newest.start,
    }
}
