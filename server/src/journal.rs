//! What was asked, and which scenario answered: for the assertions of a test, in memory alone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;

use crate::fault::Fault;
use crate::interaction::Status;
use crate::namespace::{Namespace, Rooms};

/// Requests that are kept for a namespace. The oldest goes first.
const MAX_ENTRIES: usize = 1000;
/// What all texts of a namespace may take.
const MAX_BYTES: usize = 512 << 10;
/// What is kept of one text.
const MAX_TEXT_BYTES: usize = 8 << 10;

/// The requests of each namespace.
#[derive(Debug)]
pub struct Journal {
    rooms: Rooms<Pages>,
    is_on: bool,
}

#[derive(Debug, Default)]
struct Pages {
    entries: VecDeque<Note>,
    bytes: usize,
    /// How many there have been.
    count: u64,
}

/// A request on its page, which is filled while it is carried out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Note(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    number: u64,
    at: Timestamp,
    asked: Asked,
    fate: Mutex<Fate>,
}

/// What a client asked.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub model: String,
    /// The newest user text.
    pub input: String,
    pub system_instruction: Option<String>,
    /// Names of the tools that were offered.
    pub tools: Vec<String>,
    pub turn: usize,
    /// Names of all input files.
    pub files: Vec<String>,
    /// Those that came with this request.
    pub function_results: Vec<Value>,
    pub generation_config: Value,
    pub previous_interaction_id: Option<String>,
}

/// What became of it, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    pub interaction_id: Option<String>,
    pub scenario: Option<String>,
    /// Why it was not begun, or did not come to a good end.
    pub error: Option<String>,
    pub status: Option<Status>,
    /// The model that answered, where no scenario did.
    pub backend: Option<&'static str>,
    /// How often code was run, and how often that failed.
    pub runs: u32,
    pub failed_runs: u32,
    /// What its scenario wants to be wrong with the answer.
    pub faults: Vec<Fault>,
}

/// A page, to be read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counts from 1 in each namespace.
    pub number: u64,
    pub at: Timestamp,
    pub asked: Asked,
    pub fate: Fate,
}

impl Default for Journal {
    fn default() -> Journal {
        Journal { rooms: Rooms::default(), is_on: true }
    }
}

impl Journal {
    /// One in which nothing is kept.
    pub fn off() -> Journal {
        Journal { is_on: false, ..Journal::default() }
    }

    pub fn write(&self, namespace: &Namespace, mut asked: Asked) -> Note {
        asked.shorten();
        if self.is_on {
            self.rooms.with(namespace, |pages| pages.write(asked))
        } else {
            Pages::default().write(asked)
        }
    }

    /// The entries that are kept, oldest first, and how many there were before them.
    pub fn read(&self, namespace: &Namespace) -> (Vec<Entry>, u64) {
        self.rooms.with(namespace, |pages| {
            let entries: Vec<Entry> = pages.entries.iter().map(Note::entry).collect();
            let forgotten = pages.count - entries.len() as u64;
            (entries, forgotten)
        })
    }

    pub fn clear(&self, namespace: &Namespace) {
        self.rooms.clear(namespace);
    }
}

impl Pages {
    fn write(&mut self, asked: Asked) -> Note {
        self.count += 1;
        self.bytes += asked.bytes();
        let inner =
            Inner { number: self.count, at: Timestamp::now(), asked, fate: Mutex::default() };
        let note = Note(Arc::new(inner));
        self.entries.push_back(note.clone());
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.0.asked.bytes();
        }
        note
    }
}

impl Note {
    /// A scenario spoke. In the turns after code it is the same one.
    pub fn matched(&self, scenario: &str) {
        self.fate().scenario = Some(scenario.to_owned());
    }

    /// What is to be wrong with the answer.
    pub fn wants(&self, faults: Vec<Fault>) {
        self.fate().faults = faults;
    }

    pub fn wanted(&self) -> Vec<Fault> {
        self.fate().faults.clone()
    }

    /// A model that has no scenarios answers.
    pub fn answered_by(&self, backend: &'static str) {
        self.fate().backend = Some(backend);
    }

    /// Code was run for it.
    pub fn ran(&self, has_failed: bool) {
        let mut fate = self.fate();
        fate.runs += 1;
        fate.failed_runs += u32::from(has_failed);
    }

    pub fn fate_so_far(&self) -> Fate {
        self.fate().clone()
    }

    pub fn began(&self, interaction_id: &str) {
        self.fate().interaction_id = Some(interaction_id.to_owned());
    }

    pub fn ended(&self, status: Status) {
        self.fate().status = Some(status);
    }

    pub fn failed(&self, why: &str) {
        self.fate().error = Some(start_of(why).to_owned());
    }

    fn entry(&self) -> Entry {
        let Inner { number, at, asked, .. } = &*self.0;
        Entry { number: *number, at: *at, asked: asked.clone(), fate: self.fate().clone() }
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.0.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn shorten(&mut self) {
        let texts = [Some(&mut self.input), self.system_instruction.as_mut()];
        for text in texts.into_iter().flatten() {
            text.truncate(start_of(text).len());
        }
        for value in self.function_results.iter_mut().chain([&mut self.generation_config]) {
            let text = value.to_string();
            if text.len() > MAX_TEXT_BYTES {
                *value = start_of(&text).into();
            }
        }
    }

    fn bytes(&self) -> usize {
        let texts = [Some(&self.model), Some(&self.input), self.system_instruction.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.tools).chain(&self.files);
        let values = self.function_results.iter().chain([&self.generation_config]);
        // The fate may hold as much as one text more.
        texts.map(String::len).sum::<usize>()
            + values.map(|value| value.to_string().len()).sum::<usize>()
    }
}

fn start_of(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(input: &str) -> Asked {
        Asked { input: input.into(), ..Asked::default() }
    }

    #[test]
    fn what_happens_later_is_noted_on_the_same_page() {
        let journal = Journal::default();
        let note = journal.write(&Namespace::default(), asked("6 * 7?"));
        note.matched("products");
        note.ended(Status::Completed);
        let (entries, _) = journal.read(&Namespace::default());
        assert_eq!(entries[0].number, 1);
        assert_eq!(entries[0].fate.scenario.as_deref(), Some("products"));
        assert_eq!(entries[0].fate.status, Some(Status::Completed));
    }

    #[test]
    fn the_oldest_entries_go_when_there_are_too_many() {
        let journal = Journal::default();
        for _ in 0..MAX_ENTRIES + 5 {
            journal.write(&Namespace::default(), asked("?"));
        }
        let (entries, forgotten) = journal.read(&Namespace::default());
        assert_eq!((entries.len(), forgotten), (MAX_ENTRIES, 5));
    }

    #[test]
    fn long_texts_are_cut_and_all_of_them_have_a_limit() {
        let journal = Journal::default();
        let long = "ä".repeat(MAX_TEXT_BYTES);
        for _ in 0..100 {
            journal.write(&Namespace::default(), asked(&long));
        }
        let (entries, forgotten) = journal.read(&Namespace::default());
        assert_eq!(entries[0].asked.input.len(), MAX_TEXT_BYTES);
        assert_eq!(entries.len() as u64 + forgotten, 100);
        let kept: usize = entries.iter().map(|entry| entry.asked.bytes()).sum();
        assert!((MAX_BYTES - 2 * MAX_TEXT_BYTES..=MAX_BYTES).contains(&kept), "{kept}");
    }
}
