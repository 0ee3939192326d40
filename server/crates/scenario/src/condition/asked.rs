//! The request of a client, in the form that the conditions of a scenario use.

use serde_json::Value as Json;

use super::conversation::{ClientMessages, Conversation};
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
    let read = ClientMessages::of(prompt);
    let conversation = Conversation::new(&read);
    let newest = conversation.newest_of_client();
    Asked {
        input: conversation.input().to_owned(),
        turn: conversation.turn(),
        earlier: conversation.earlier(&newest).to_vec(),
        answered: conversation.results(newest.clone()).into_iter().cloned().collect(),
        start: newest.start,
    }
}
