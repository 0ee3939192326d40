//! What a client asked, as the conditions of a scenario would ask for it.

use serde_json::Value as Json;

use super::chain::{Calls, Chain};
use crate::backend::Prompt;

/// The newest input of a conversation, and what was said before it.
#[derive(Debug, PartialEq)]
pub struct Asked {
    /// The newest user text.
    pub input: String,
    pub turn: usize,
    /// What the client said before, oldest first.
    pub earlier: Vec<Said>,
    /// The results that the client sent just now.
    pub answered: Vec<Said>,
    /// Where in the conversation the client's newest steps begin.
    pub start: usize,
}

/// One thing that a client said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Text(String),
    /// The result of a function, without its wrapping.
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
