//! What was asked, which scenario answered, and what came of its code: for the assertions of a test, in
//! memory alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;

use crate::counts::Tally;
use crate::fault::Fault;
use crate::interaction::{Outcome, Status};
use crate::namespace::{Namespace, Rooms};

/// Requests that are kept for a namespace. The oldest goes first.
const MAX_ENTRIES: usize = 1000;
/// What all texts of a namespace may take.
const MAX_BYTES: usize = 512 << 10;
/// What is kept of one text.
const MAX_TEXT_BYTES: usize = 8 << 10;
/// What is kept of the code of a run, of its stdout, of its stderr, and of a call's arguments.
const MAX_EXCERPT_BYTES: usize = 2 << 10;
/// Runs, calls and warnings of one request that are kept, of each the first.
const MAX_OF_A_KIND: usize = 32;

/// The requests of each namespace.
#[derive(Debug)]
pub struct Journal {
    rooms: Rooms<Pages>,
    is_on: bool,
}

#[derive(Debug, Default)]
struct Pages {
    entries: VecDeque<Note>,
    /// How many there have been.
    count: u64,
}

/// A request on its page, which is filled while it is carried out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Note {
    page: Arc<Page>,
    /// Of the namespace that it is in.
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Page {
    number: u64,
    at: Timestamp,
    asked: Asked,
    fate: Mutex<Fate>,
    /// Of all its texts. It grows with its fate.
    bytes: AtomicUsize,
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
    /// Which of the recorded answers to the question it gets, from 0 on. Settled by its first turn.
    pub take: Option<u64>,
    /// The text of the answer, as far as it is kept.
    pub text: String,
    pub code_runs: Vec<CodeRun>,
    pub function_calls: Vec<Called>,
    /// What a person who wrote the scenario should look at.
    pub warnings: Vec<String>,
    /// Runs, calls and warnings that are not kept.
    pub left_out: usize,
}

/// Code that was run, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeRun {
    pub code: String,
    pub outcome: Outcome,
    pub stdout: String,
    /// Its end, where it is long: there the error is.
    pub stderr: String,
    pub pictures: usize,
    pub wall_ms: f64,
}

/// A function that the client was to call.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    pub name: String,
    pub arguments: Value,
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
        let bytes = AtomicUsize::new(asked.bytes());
        let (number, at, fate) = (self.count, Timestamp::now(), Mutex::default());
        let page = Arc::new(Page { number, at, asked, fate, bytes });
        let note = Note { page, tally: Arc::default() };
        self.entries.push_back(note.clone());
        // Those that are carried out grow meanwhile, so they are counted anew.
        let mut bytes: usize = self.entries.iter().map(Note::bytes).sum();
        while self.entries.len() > MAX_ENTRIES || bytes > MAX_BYTES && self.entries.len() > 1 {
            let Some(oldest) = self.entries.pop_front() else { break };
            bytes -= oldest.bytes().min(bytes);
        }
        note
    }
}

impl Note {
    /// The same, with what is counted in its namespace.
    #[must_use]
    pub fn counting(self, tally: Arc<Tally>) -> Note {
        Note { tally, ..self }
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A scenario spoke. In the turns after code it is the same one; whether this is the first turn.
    pub fn matched(&self, scenario: &str) -> bool {
        self.fate().scenario.replace(scenario.to_owned()).is_none()
    }

    /// Which of the recorded answers to its question the interaction gets: settled when it is first
    /// asked for, for all its turns are in the same one.
    pub fn take(&self, settle: impl FnOnce() -> u64) -> u64 {
        *self.fate().take.get_or_insert_with(settle)
    }

    /// More of the answer's text.
    pub fn said(&self, piece: &str) {
        let mut fate = self.fate();
        let room = MAX_TEXT_BYTES.saturating_sub(fate.text.len());
        let piece = &piece[..piece.floor_char_boundary(room)];
        fate.text.push_str(piece);
        self.grew(piece.len());
    }

    /// Code was run.
    pub fn code_ran(&self, run: CodeRun) {
        {
            let mut fate = self.fate();
            fate.runs += 1;
            fate.failed_runs += u32::from(run.outcome.is_error());
        }
        let run = CodeRun {
            code: beginning(&run.code),
            stdout: beginning(&run.stdout),
            stderr: end(&run.stderr),
            ..run
        };
        let bytes = run.code.len() + run.stdout.len() + run.stderr.len();
        self.keep(|fate| &mut fate.code_runs, run, bytes);
    }

    /// A function is the client's to call.
    pub fn called(&self, name: &str, arguments: &Value) {
        let text = arguments.to_string();
        let is_short = text.len() <= MAX_EXCERPT_BYTES;
        let arguments = if is_short { arguments.clone() } else { beginning(&text).into() };
        let bytes = name.len() + text.len().min(MAX_EXCERPT_BYTES);
        self.keep(
            |fate| &mut fate.function_calls,
            Called { name: name.to_owned(), arguments },
            bytes,
        );
    }

    pub fn warn(&self, warning: String) {
        let warning = beginning(&warning);
        let bytes = warning.len();
        self.keep(|fate| &mut fate.warnings, warning, bytes);
    }

    fn keep<T>(&self, list: fn(&mut Fate) -> &mut Vec<T>, item: T, bytes: usize) {
        let mut fate = self.fate();
        if list(&mut fate).len() < MAX_OF_A_KIND {
            list(&mut fate).push(item);
            self.grew(bytes);
        } else {
            fate.left_out += 1;
        }
    }

    fn grew(&self, bytes: usize) {
        self.page.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.page.bytes.load(Ordering::Relaxed)
    }

    pub fn warnings(&self) -> Vec<String> {
        self.fate().warnings.clone()
    }

    /// The scenario that answers, as far as one does.
    pub fn scenario(&self) -> Option<String> {
        self.fate().scenario.clone()
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
        let Page { number, at, asked, .. } = &*self.page;
        Entry { number: *number, at: *at, asked: asked.clone(), fate: self.fate().clone() }
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.page.fate.lock().unwrap_or_else(PoisonError::into_inner)
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

/// As much of a text as is kept, from its beginning.
fn beginning(text: &str) -> String {
    if text.len() <= MAX_EXCERPT_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_EXCERPT_BYTES)])
}

/// The same, up to its end.
fn end(text: &str) -> String {
    match text.len().checked_sub(MAX_EXCERPT_BYTES) {
        None | Some(0) => text.to_owned(),
        Some(from) => format!("…{}", &text[text.ceil_char_boundary(from)..]),
    }
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

    #[test]
    fn what_came_of_code_is_cut_and_counts_towards_the_limit() {
        let journal = Journal::default();
        let long = "ä".repeat(MAX_EXCERPT_BYTES);
        for _ in 0..10 {
            let note = journal.write(&Namespace::default(), asked("?"));
            for _ in 0..MAX_OF_A_KIND + 3 {
                note.code_ran(CodeRun {
                    code: long.clone(),
                    outcome: Outcome::Failed,
                    stdout: "short".into(),
                    stderr: long.clone() + "ZeroDivisionError",
                    pictures: 0,
                    wall_ms: 1.0,
                });
                note.called("f", &Value::from(long.as_str()));
                note.said(&long);
            }
        }
        let (entries, forgotten) = journal.read(&Namespace::default());
        // The last one may still grow, and is kept whatever it takes.
        assert_eq!((entries.len(), forgotten), (3, 7));
        let fate = &entries[0].fate;
        assert_eq!((fate.code_runs.len(), fate.left_out), (MAX_OF_A_KIND, 6));
        assert_eq!(fate.text.len(), MAX_TEXT_BYTES);
        let run = &fate.code_runs[0];
        assert!(run.stderr.starts_with('…') && run.stderr.ends_with("äZeroDivisionError"));
        assert!(run.code.len() <= MAX_EXCERPT_BYTES + '…'.len_utf8());
        assert_eq!(run.stdout, "short");
    }
}
