//! How a model's text is interpreted, depending on how the model runs code.

use super::answer::Last;
use super::fence::{Blocks, Reader};
use backend::{End, Finish, ModelEvent};
use domain::interaction::Reason;

/// How a model ran code in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Calls,
    Blocks,
}

#[derive(Debug)]
pub enum Reading {
    /// The model calls functions, or has no code execution.
    Text,
    /// The model writes blocks, and a block ends its turn.
    Blocks(Reader),
    /// Functions were offered, but the model has not called one yet. Some servers silently drop the
    /// functions, and then models write blocks.
    Either(Box<Held>),
}

/// The model's output from its first block on. A block counts if no call follows.
#[derive(Debug)]
pub struct Held {
    reader: Reader,
    text: String,
    /// Bytes of the text that were already returned.
    handed_on: usize,
    block: Option<ModelEvent>,
}

impl Reading {
    /// The events that can be returned at once. Nothing must be read after a block.
    pub fn read(&mut self, text: String) -> Vec<ModelEvent> {
        match self {
            Reading::Text => vec![ModelEvent::Text(text)],
            Reading::Blocks(reader) => reader.read(&text),
            Reading::Either(held) => held.read(&text),
        }
    }

    /// The remaining events, given the final events of the turn, and how the model ran code, if
    /// that is new information.
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
        let mut events = self.reader.read(text);
        self.take_block(&mut events);
        self.handed_on += events.iter().map(length).sum::<usize>();
        events
    }

    fn end(mut self, last: &Last) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        if self.block.is_none() {
            events = self.reader.end(last.is_cut);
            self.take_block(&mut events);
        }
        match self.block {
            Some(block) if way(&last.events) != Some(Way::Calls) => {
                events.push(block);
                events
            }
            Some(_) => vec![ModelEvent::Text(self.text.split_off(self.handed_on))],
            None => events,
        }
    }

    fn take_block(&mut self, events: &mut Vec<ModelEvent>) {
        if let Some(block) = events.pop_if(|event| ends_turn(event)) {
            self.block = Some(block);
        }
    }
}

/// How the model ran code, according to the final events of the turn. A model with an unreadable
/// first call should write blocks.
fn way(last: &[ModelEvent]) -> Option<Way> {
    last.iter().find_map(|event| match event {
        ModelEvent::Code(_)
        | ModelEvent::Lookup { .. }
        | ModelEvent::Tool(_)
        | ModelEvent::FunctionCall { .. } => Some(Way::Calls),
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
