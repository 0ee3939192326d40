//! How a model's text is read, by what is known of the way in which it runs code.

use super::answer::Last;
use super::fence::{Blocks, Reader};
use crate::backend::{End, Finish, ModelEvent};
use crate::interaction::Reason;

/// The way in which a model ran code, as far as one turn shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Calls,
    Blocks,
}

#[derive(Debug)]
pub enum Reading {
    /// It calls functions, or has no code to run.
    Text,
    /// It writes blocks, and a block ends its turn.
    Blocks(Reader),
    /// It was offered functions, and has not shown yet that it calls them. There are servers that
    /// leave them out without a word, and then models write blocks after all.
    Either(Held),
}

/// What a model said from its first block on. A block counts if no call follows.
#[derive(Debug)]
pub struct Held {
    reader: Reader,
    text: String,
    /// Bytes of the text that were handed on.
    handed_on: usize,
    block: Option<ModelEvent>,
}

impl Reading {
    /// What can be handed on at once. Nothing is to be read after a block.
    pub fn read(&mut self, text: String) -> Vec<ModelEvent> {
        match self {
            Reading::Text => vec![ModelEvent::Text(text)],
            Reading::Blocks(reader) => reader.read(&text),
            Reading::Either(held) => held.read(&text),
        }
    }

    /// What is left, when the last words are known, and the way that the turn shows, where that is
    /// something new.
    pub fn end(self, last: &Last) -> (Vec<ModelEvent>, Option<Way>) {
        let shown = way(&last.events);
        match self {
            Reading::Text => (Vec::new(), shown.filter(|way| *way == Way::Calls)),
            Reading::Blocks(mut reader) => (reader.end(last.is_cut), None),
            Reading::Either(held) => {
                let rest = held.end(last);
                let shown = if rest.iter().any(ends_turn) { Some(Way::Blocks) } else { shown };
                (rest, shown)
            }
        }
    }
}

impl Held {
    pub fn new(blocks: Blocks) -> Held {
        Held { reader: Reader::new(blocks), text: String::new(), handed_on: 0, block: None }
    }

    fn read(&mut self, text: &str) -> Vec<ModelEvent> {
        self.text.push_str(text);
        if self.block.is_some() {
            return Vec::new();
        }
        let mut said = self.reader.read(text);
        self.take_block(&mut said);
        self.handed_on += said.iter().map(length).sum::<usize>();
        said
    }

    fn end(mut self, last: &Last) -> Vec<ModelEvent> {
        let mut said = Vec::new();
        if self.block.is_none() {
            said = self.reader.end(last.is_cut);
            self.take_block(&mut said);
        }
        match self.block {
            Some(block) if way(&last.events) != Some(Way::Calls) => {
                said.push(block);
                said
            }
            Some(_) => vec![ModelEvent::Text(self.text.split_off(self.handed_on))],
            None => said,
        }
    }

    fn take_block(&mut self, said: &mut Vec<ModelEvent>) {
        if let Some(block) = said.pop_if(|event| ends_turn(event)) {
            self.block = Some(block);
        }
    }
}

/// What the last words of a turn show. A model whose first call cannot be read had better write
/// blocks.
fn way(last: &[ModelEvent]) -> Option<Way> {
    last.iter().find_map(|event| match event {
        ModelEvent::Code(_) | ModelEvent::Lookup { .. } | ModelEvent::FunctionCall { .. } => {
            Some(Way::Calls)
        }
        ModelEvent::End(End { finish: Finish::Stopped(Reason::MalformedFunctionCall), .. }) => {
            Some(Way::Blocks)
        }
        _ => None,
    })
}

pub fn ends_turn(event: &ModelEvent) -> bool {
    matches!(event, ModelEvent::Code(_)) || is_search(event)
}

pub fn is_search(event: &ModelEvent) -> bool {
    matches!(event, ModelEvent::Lookup { .. })
}

fn length(event: &ModelEvent) -> usize {
    match event {
        ModelEvent::Text(text) => text.len(),
        _ => 0,
    }
}
