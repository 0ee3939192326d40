//! The request of a client, in the form that the conditions of a scenario use.

use serde_json::Value as Json;

use super::conversation::{CallNames, Conversation};
use backend::Prompt;

/// The newest input of a conversation, and the client's messages before it.
#[derive(Debug, PartialEq)]
pub struct Asked {
    /// The newest user text.
    pub input: String,
    pub turn: usize,
    /// The client's earlier messages, oldest first.
    pub earlier: Vec<ClientMessage>,
    /// The function results in the newest request.
    pub answered: Vec<ClientMessage>,
    /// Index of the first of the client's newest steps.
    pub start: usize,
}

/// A message of the client.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientMessage {
    Text(String),
    /// A function result without its wrapping.
    Result {
        name: String,
        value: Json,
    },
}

pub fn asked(prompt: &Prompt) -> Asked {
    let calls = CallNames::of(prompt);
    let conversation = Conversation::new(prompt, &calls);
    let newest = conversation.newest_of_client();
    let context = conversation.match_context(&newest);
    Asked {
        input: context.input,
        turn: context.turn,
        earlier: context.earlier,
        answered: context.results,
        start: newest.start,
    }
}
