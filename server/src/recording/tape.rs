//! Collects the events of one interaction for a recording. Cheap to clone, and empty unless the
//! request is recorded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::time::Instant;

use super::Keeper;
use crate::backend::{BackendError, End, Foreign, ModelEvent, Prompt};
use crate::interaction::{CodeResult, Failure, ForeignStep, Found, Media, Step};
use crate::search;

/// Maximum size of all texts of a recording. It equals the maximum size of a scenario file.
const MAX_BYTES: usize = 16 << 20;

/// The recording session of a request, or a disabled one.
#[derive(Debug, Clone, Default)]
pub struct Tape(Option<Arc<Blank>>);

#[derive(Debug, Default)]
struct Blank {
    reel: Mutex<Option<Reel>>,
    /// The client's keys, which must not be recorded.
    keys: Arc<[SecretString]>,
}

/// The output exceeds the maximum size of a recording.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording exceeds {MAX_BYTES} bytes")]
pub struct TooLong;

/// All events of an interaction.
#[derive(Debug)]
pub struct Reel {
    pub keeper: Arc<Keeper>,
    /// The first prompt: the client's request.
    pub asked: Prompt,
    /// The client's keys, which must not be recorded.
    pub keys: Arc<[SecretString]>,
    pub takes: Vec<Take>,
    began: Instant,
    /// Index of the first event of the newest turn.
    turn: usize,
    /// A step of an upstream server that is still streaming.
    foreign: Option<ForeignStep>,
    /// Total size of the recorded texts.
    bytes: usize,
}

/// An event with its time since the request.
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
    /// A complete step of an upstream server.
    Step(Value),
    /// Token counts that the model reported.
    Counted,
    Ended(End),
    /// The model failed, or its stream ended early.
    Failed(BackendError),
    /// The result of the preceding code.
    Ran(CodeResult, Vec<Media>),
}

impl Tape {
    /// An enabled session, which starts when a model with a writer gets the prompt.
    pub fn blank() -> Tape {
        Tape::of_client(Arc::default())
    }

    /// The same for a client with these keys.
    pub fn of_client(keys: Arc<[SecretString]>) -> Tape {
        Tape(Some(Arc::new(Blank { reel: Mutex::default(), keys })))
    }

    /// Whether the session has started.
    pub fn has_begun(&self) -> bool {
        self.lock().is_some_and(|reel| reel.is_some())
    }

    /// Starts a turn of the model. Returns whether it is recorded.
    pub fn turn(&self, keeper: &Arc<Keeper>, prompt: &Prompt) -> bool {
        let (Some(mut reel), Some(blank)) = (self.lock(), &self.0) else { return false };
        let reel = reel.get_or_insert_with(|| Reel {
            keys: Arc::clone(&blank.keys),
            keeper: Arc::clone(keeper),
            // A prompt that held its own session would form a reference cycle and never be freed.
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

    /// The result of a search that the model requested.
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

    /// Discards the output of the newest turn, because the model is called again.
    pub fn take_back(&self) {
        self.with(|reel| reel.takes.truncate(reel.turn));
    }

    /// Takes the recording out, or the error that it is too large. The session is then empty again.
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
    /// Whether the model failed.
    pub fn has_failed(&self) -> bool {
        self.takes.iter().any(|take| matches!(take.what, What::Failed(_)))
    }

    /// All recorded texts, the client's included.
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

    /// Whether this many more bytes are allowed. Nothing is added to a recording that is already
    /// too large.
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
            // The results are not known yet.
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
            // A replay assigns its own ids and signatures.
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
        // An unfinished step is recorded as far as it arrived.
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

/// Size of an event in bytes.
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

/// The error of a model whose stream ended without an end.
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
    fn a_recording_has_a_maximum_size() {
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
            let reel = tape.unwind().expect("it has events");
            assert_eq!(reel.is_ok(), is_kept, "{pieces} MiB");
            assert!(tape.unwind().is_none(), "it is empty again");
        }
        assert!(!Tape::default().turn(&keeper, &prompt("?")), "this session is disabled");
    }
}
