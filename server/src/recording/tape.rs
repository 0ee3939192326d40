//! What happens in one interaction, as far as a recording needs it. Cheap to clone, and empty for as
//! long as nobody records.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::time::Instant;

use super::Keeper;
use crate::backend::{BackendError, End, Foreign, ModelEvent, Prompt};
use crate::interaction::{CodeResult, Failure, ForeignStep, Found, Media, Step};
use crate::search;

/// Limit of all texts that are put on a tape. A scenario file may not be longer either.
const MAX_BYTES: usize = 16 << 20;

/// A tape that runs, or one that nothing is put on.
#[derive(Debug, Clone, Default)]
pub struct Tape(Option<Arc<Blank>>);

#[derive(Debug, Default)]
struct Blank {
    reel: Mutex<Option<Reel>>,
    /// What the client came with, which must not be recorded.
    keys: Arc<[SecretString]>,
}

/// More was said than a recording may have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_BYTES} bytes were said")]
pub struct TooLong;

/// All that was recorded.
#[derive(Debug)]
pub struct Reel {
    pub keeper: Arc<Keeper>,
    /// The first prompt: what the client asked.
    pub asked: Prompt,
    /// What the client came with, which must not be recorded.
    pub keys: Arc<[SecretString]>,
    pub takes: Vec<Take>,
    began: Instant,
    /// Where the newest turn of the model begins.
    turn: usize,
    /// A step of another server that is still coming.
    foreign: Option<ForeignStep>,
    /// Of all texts that were put on it.
    bytes: usize,
}

/// One thing that happened, and when, counted from the request.
#[derive(Debug)]
pub struct Take {
    pub at: Duration,
    /// Of its last piece.
    pub until: Duration,
    pub pieces: usize,
    pub what: What,
}

#[derive(Debug)]
pub enum What {
    Thought(String),
    Text(String),
    Code(String),
    Call {
        name: String,
        arguments: Value,
    },
    Search {
        queries: Vec<String>,
        found: Vec<Found>,
    },
    /// A whole step of another server.
    Step(Value),
    /// The model counted its tokens itself.
    Counted,
    Ended(End),
    /// The model failed, or broke off.
    Failed(BackendError),
    /// What came of the code before it.
    Ran(CodeResult, Vec<Media>),
}

impl Tape {
    /// One that something can be put on, once there is a keeper for it.
    pub fn blank() -> Tape {
        Tape::of_client(Arc::default())
    }

    /// The same for a client that came with these keys.
    pub fn of_client(keys: Arc<[SecretString]>) -> Tape {
        Tape(Some(Arc::new(Blank { reel: Mutex::default(), keys })))
    }

    /// Whether anything has been put on it.
    pub fn has_begun(&self) -> bool {
        self.lock().is_some_and(|reel| reel.is_some())
    }

    /// A turn of the model begins. Whether it is recorded.
    pub fn turn(&self, keeper: &Arc<Keeper>, prompt: &Prompt) -> bool {
        let (Some(mut reel), Some(blank)) = (self.lock(), &self.0) else { return false };
        let reel = reel.get_or_insert_with(|| Reel {
            keys: Arc::clone(&blank.keys),
            keeper: Arc::clone(keeper),
            // A tape in itself would never be thrown away.
            asked: Prompt { tape: Tape::default(), ..prompt.clone() },
            takes: Vec::new(),
            began: Instant::now(),
            turn: 0,
            foreign: None,
            bytes: 0,
        });
        reel.turn = reel.takes.len();
        true
    }

    pub fn heard(&self, word: &Result<ModelEvent, BackendError>) {
        self.with(|reel| match word {
            Ok(event) => reel.heard(event),
            Err(error) => reel.take(What::Failed(error.clone())),
        });
    }

    pub fn ran(&self, result: &CodeResult, pictures: &[Media]) {
        self.with(|reel| {
            if reel.has_room(result.result.len()) {
                reel.take(What::Ran(result.clone(), pictures.to_vec()));
            }
        });
    }

    /// What a search found that the model asked for.
    pub fn searched(&self, queries: &[String], pages: &[Found]) {
        self.with(|reel| {
            let asked = reel.takes.iter_mut().rev().find_map(|take| match &mut take.what {
                What::Search { queries: asked, found } if asked == queries => Some(found),
                _ => None,
            });
            if let Some(found) = asked {
                *found = pages.to_vec();
            }
        });
    }

    /// What the model said in its newest turn is not taken for its answer, and it is asked again.
    pub fn take_back(&self) {
        self.with(|reel| reel.takes.truncate(reel.turn));
    }

    /// All that was put on it, or what is too much to be kept. From here on it is blank again.
    pub fn unwind(&self) -> Option<Result<Reel, TooLong>> {
        let reel = self.lock()?.take()?;
        Some(if reel.bytes > MAX_BYTES { Err(TooLong) } else { Ok(reel) })
    }

    fn with(&self, act: impl FnOnce(&mut Reel)) {
        if let Some(mut reel) = self.lock()
            && let Some(reel) = reel.as_mut()
        {
            act(reel);
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Option<Reel>>> {
        self.0.as_ref().map(|blank| blank.reel.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reel {
    /// Whether the model did not come to an end.
    pub fn has_failed(&self) -> bool {
        self.takes.iter().any(|take| matches!(take.what, What::Failed(_)))
    }

    /// All texts that are on it, the client's included.
    pub fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for step in self.asked.steps.iter() {
            texts.extend(step.user_text());
            texts.extend(step.model_text());
            match step {
                Step::FunctionResult(result) => texts.push(result.result.to_string()),
                Step::CodeCall(call) => texts.push(call.code.clone()),
                _ => {}
            }
        }
        texts.extend(self.asked.system_instruction.clone());
        for take in &self.takes {
            match &take.what {
                What::Thought(text) | What::Text(text) | What::Code(text) => {
                    texts.push(text.clone());
                }
                What::Call { arguments, .. } => texts.push(arguments.to_string()),
                What::Step(step) => texts.push(step.to_string()),
                What::Ran(result, _) => texts.push(result.result.clone()),
                What::Search { .. } | What::Counted | What::Ended(_) | What::Failed(_) => {}
            }
        }
        texts
    }

    /// Whether there is room for so much more. Nothing is put on a tape that is too long already.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            self.takes.clear();
            self.turn = 0;
        }
        self.bytes <= MAX_BYTES
    }

    fn heard(&mut self, event: &ModelEvent) {
        if !self.has_room(length(event)) {
            return;
        }
        match event {
            ModelEvent::Thought(piece) => self.piece(piece, What::Thought),
            ModelEvent::Text(piece) => self.piece(piece, What::Text),
            ModelEvent::Code(code) => self.take(What::Code(code.clone())),
            ModelEvent::FunctionCall { name, arguments } => {
                self.take(What::Call { name: name.clone(), arguments: arguments.clone() });
            }
            ModelEvent::Search { queries, found } => {
                self.take(What::Search { queries: queries.clone(), found: found.clone() });
            }
            // What is found is not known yet.
            ModelEvent::Lookup { queries } => {
                let queries = search::bounded(queries.clone());
                self.take(What::Search { queries, found: Vec::new() });
            }
            ModelEvent::Foreign(Foreign::Started(step)) => {
                self.take(What::Step(Value::Null));
                self.foreign = Some(ForeignStep::new(step.clone()));
            }
            ModelEvent::Foreign(Foreign::Delta(delta)) => {
                if let Some(foreign) = &mut self.foreign {
                    foreign.add(delta);
                }
                self.goes_on();
            }
            ModelEvent::Foreign(Foreign::Stopped) => self.step_stopped(),
            ModelEvent::Counted(_) | ModelEvent::CountedElsewhere(_) => self.take(What::Counted),
            ModelEvent::End(end) => self.take(What::Ended(*end)),
            // Who says it later gives other names.
            ModelEvent::Mark(_) | ModelEvent::Sealed(_) => {}
        }
    }

    fn step_stopped(&mut self) {
        if let (Some(foreign), Some(Take { what: What::Step(step), .. })) =
            (self.foreign.take(), self.takes.last_mut())
        {
            *step = foreign.into_value();
        }
    }

    fn piece(&mut self, piece: &str, what: fn(String) -> What) {
        if piece.is_empty() {
            return;
        }
        let new = what(piece.to_owned());
        let same = self.takes.last_mut().filter(|last| last.what.is_like(&new));
        match same.map(|last| &mut last.what) {
            Some(What::Thought(text) | What::Text(text)) => {
                text.push_str(piece);
                self.goes_on();
            }
            _ => self.take(new),
        }
    }

    fn goes_on(&mut self) {
        let now = self.began.elapsed();
        if let Some(last) = self.takes.last_mut() {
            last.until = now;
            last.pieces += 1;
        }
    }

    fn take(&mut self, what: What) {
        // One that broke off in the middle of a step has said what it has said.
        self.step_stopped();
        let now = self.began.elapsed();
        self.takes.push(Take { at: now, until: now, pieces: 1, what });
    }
}

impl What {
    fn is_like(&self, other: &What) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// The bytes of what is said.
fn length(event: &ModelEvent) -> usize {
    match event {
        ModelEvent::Thought(text) | ModelEvent::Text(text) | ModelEvent::Code(text) => text.len(),
        ModelEvent::FunctionCall { name, arguments } => name.len() + arguments.to_string().len(),
        ModelEvent::Lookup { queries } => queries.iter().map(String::len).sum(),
        ModelEvent::Search { queries, found } => {
            let pages =
                found.iter().map(|page| page.title.len() + page.url.len() + page.snippet.len());
            queries.iter().map(String::len).sum::<usize>() + pages.sum::<usize>()
        }
        ModelEvent::Foreign(Foreign::Started(value) | Foreign::Delta(value)) => {
            value.to_string().len()
        }
        ModelEvent::Foreign(Foreign::Stopped)
        | ModelEvent::Mark(_)
        | ModelEvent::Sealed(_)
        | ModelEvent::CountedElsewhere(_)
        | ModelEvent::Counted(_)
        | ModelEvent::End(_) => 0,
    }
}

/// Why a model that broke off without a word failed.
pub fn broke_off() -> BackendError {
    BackendError::Failed(Failure::new(
        crate::interaction::FailureKind::Unavailable,
        "The model broke off in the middle.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Secrets;
    use crate::recording::script::tests::prompt;

    #[test]
    fn a_tape_has_an_end() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let keeper = Keeper::open(folder.path(), Secrets::default()).expect("it is ours");
        let keeper = Arc::new(keeper);
        for (pieces, is_kept) in [(16, true), (17, false), (40, false)] {
            let tape = Tape::blank();
            assert!(tape.turn(&keeper, &prompt("?")));
            for _ in 0..pieces {
                tape.heard(&Ok(ModelEvent::Text("x".repeat(1 << 20))));
            }
            tape.heard(&Ok(ModelEvent::End(End::default())));
            tape.take_back();
            let reel = tape.unwind().expect("something was put on it");
            assert_eq!(reel.is_ok(), is_kept, "{pieces} MiB");
            assert!(tape.unwind().is_none(), "it is blank again");
        }
        assert!(!Tape::default().turn(&keeper, &prompt("?")), "nothing is put on this one");
    }
}
