//! The model that says what a scenario file tells it to, while the code that it says really runs.
//!
//! ```text
//!   folder ──▶ library ──▶ scenario (condition · part · template)
//!                               │
//!   prompt ──▶ chain ─────────▶ cue ──▶ script ──▶ speech ──▶ events
//! ```
//!
//! A conversation is enough to tell which scenario it is in and where: see [`script`]. Nothing is
//! counted or kept between requests, so tests that run at the same time do not disturb one another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Backend, BackendError, ModelEvent, ModelStream, Prompt, STREAM_CAPACITY};
use crate::fault::Fault;
use crate::interaction::{Content, Step};
use chain::{Calls, Chain};
use library::{Library, Scenarios};
use part::Part;
use speech::Line;

mod additions;
mod after;
mod asked;
mod chain;
mod condition;
mod cue;
mod diagnosis;
mod extent;
mod keys;
mod library;
mod part;
mod rehearsal;
mod scenario;
mod script;
mod speech;
mod template;

pub use additions::Additions;
pub use asked::{Asked, Said, asked};
pub use library::files;
pub use part::Expect;
pub use rehearsal::{Next, Rehearsal};
pub use scenario::{Given, Scenario, ScenarioError, parse, read, text};

/// A conversation with more text than that is looked through on a thread that answers nobody.
const LONG_BYTES: usize = 256 << 10;
/// What the result of a function counts as.
const RESULT_BYTES: usize = 256;

/// The JSON Schema of a scenario file.
pub const SCHEMA: &str = include_str!("schema.json");

#[derive(Debug)]
pub struct Scripted {
    library: Library,
    additions: Arc<Additions>,
    /// Where scenarios are read from, as the operator names it.
    folder: Option<PathBuf>,
    /// Where what it says was recorded, unless a person made it up.
    recordings: Option<PathBuf>,
}

impl Scripted {
    /// Reads all scenario files of a folder, and reads them again when they change.
    pub fn load(folder: impl AsRef<Path>) -> Result<Scripted, ScenarioError> {
        let folder = folder.as_ref();
        let library = Library::open(folder)?;
        Ok(Scripted { folder: Some(folder.to_owned()), ..Scripted::of(library) })
    }

    /// The same for a folder of recordings. It may have none yet.
    pub fn replay(folder: impl AsRef<Path>) -> Result<Scripted, ScenarioError> {
        let folder = folder.as_ref();
        Ok(Scripted { recordings: Some(folder.to_owned()), ..Scripted::load(folder)? })
    }

    pub fn from_scenarios(scenarios: Vec<Scenario>) -> Scripted {
        Scripted::of(Library::fixed(scenarios))
    }

    /// What clients add is asked first.
    pub fn with_additions(self, additions: Arc<Additions>) -> Scripted {
        Scripted { additions, ..self }
    }

    /// How many scenarios are loaded now.
    pub fn loaded(&self) -> usize {
        self.library.current().len()
    }

    fn of(library: Library) -> Scripted {
        Scripted { library, additions: Arc::default(), folder: None, recordings: None }
    }

    /// What there is to say to a prompt now.
    fn repertoire(&self, prompt: &Prompt) -> Repertoire {
        Repertoire {
            added: self.additions.of(&prompt.namespace),
            loaded: self.library.current(),
            folder: self.folder.clone(),
            recordings: self.recordings.clone(),
        }
    }
}

/// The scenarios for one prompt.
struct Repertoire {
    added: Scenarios,
    loaded: Scenarios,
    folder: Option<PathBuf>,
    recordings: Option<PathBuf>,
}

/// How long it may take to find out what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// It never holds up others.
    Small,
    Any,
}

impl Repertoire {
    fn without_scenarios(&self) -> String {
        match &self.folder {
            Some(folder) => format!(
                "No scenarios are loaded: the server reads them from {}, and nothing is there. Put a \
                 scenario file (*.yaml) into that folder, or start the server with another one: \
                 --scenarios DIR.",
                folder.display()
            ),
            None => {
                "No scenarios are loaded: there was no folder ./scenarios where the server was \
                     started. Start it where there is one, or with --scenarios DIR."
                    .to_owned()
            }
        }
    }

    /// What is said; nothing where that is more effort than it may be.
    fn lines(&self, prompt: &Prompt, effort: Effort) -> Result<Option<Vec<Line>>, BackendError> {
        if effort == Effort::Small && is_long(prompt) {
            return Ok(None);
        }
        let scenarios: Vec<&Scenario> = self.added.iter().chain(self.loaded.iter()).collect();
        if let (Some(folder), []) = (&self.recordings, &scenarios[..]) {
            return Err(BackendError::Refused(format!(
                "There are no recordings in {}, so there is nothing to replay. A server that is \
                 started with --record and this folder makes some.",
                folder.display()
            )));
        }
        if scenarios.is_empty() {
            return Err(BackendError::Refused(self.without_scenarios()));
        }
        let calls = Calls::of(prompt);
        let chain = Chain::new(prompt, &calls);
        let cue = cue::next(&scenarios, chain).map_err(BackendError::Refused)?;
        if effort == Effort::Small && cue.scenario.script.iter().any(Part::is_heavy) {
            return Ok(None);
        }
        prompt.note.matched(&cue.scenario.name);
        prompt.note.wants(faults(&cue.scenario.script));
        speech::lines(&cue, &chain.names()).map(Some).map_err(BackendError::Refused)
    }
}

/// Whether the patterns of scenarios may take long to look through a conversation.
fn is_long(prompt: &Prompt) -> bool {
    let bytes = |step: &Step| match step {
        Step::UserInput(contents) | Step::ModelOutput(contents) => {
            let texts = contents.iter().map(|content| match content {
                Content::Text { text, .. } => text.len(),
                _ => 0,
            });
            texts.sum()
        }
        Step::FunctionResult(_) => RESULT_BYTES,
        _ => 0,
    };
    prompt.steps.iter().map(bytes).sum::<usize>() > LONG_BYTES
}

/// What a script wants to be wrong with its answer.
fn faults(script: &[Part]) -> Vec<Fault> {
    let found = script.iter().flat_map(|part| match part {
        Part::Fault(fault) => vec![Fault::clone(fault)],
        Part::IfError(parts) | Part::IfOk(parts) => faults(parts),
        _ => Vec::new(),
    });
    found.collect()
}

impl Backend for Scripted {
    fn generate(&self, prompt: Prompt) -> ModelStream {
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        let repertoire = self.repertoire(&prompt);
        // Where there is nothing to wait for, no task has to do so.
        match repertoire.lines(&prompt, Effort::Small) {
            Ok(Some(lines)) if are_said_at_once(&lines) => {
                for word in lines.into_iter().filter_map(Line::word) {
                    events.try_send(word).expect("there is room for all of them");
                }
            }
            Ok(Some(lines)) => drop(tokio::spawn(async move { speak(lines, &events).await })),
            Ok(None) => drop(tokio::spawn(speak_when_found(repertoire, prompt, events))),
            Err(error) => events.try_send(Err(error)).expect("there is room for one"),
        }
        stream
    }
}

/// The same, where it is found out on a thread that answers nobody.
async fn speak_when_found(
    repertoire: Repertoire,
    prompt: Prompt,
    events: mpsc::Sender<Result<ModelEvent, BackendError>>,
) {
    let lines = tokio::task::spawn_blocking(move || repertoire.lines(&prompt, Effort::Any)).await;
    match lines {
        Ok(Ok(lines)) => speak(lines.unwrap_or_default(), &events).await,
        // Nobody listens any more, or a panic was told of already.
        Ok(Err(error)) => drop(events.send(Err(error)).await),
        Err(_) => {}
    }
}

fn are_said_at_once(lines: &[Line]) -> bool {
    lines.len() <= STREAM_CAPACITY && !lines.iter().any(|line| matches!(line, Line::Wait(_)))
}

/// Ends early when nobody listens any more, in the middle of a wait too.
async fn speak(lines: Vec<Line>, events: &mpsc::Sender<Result<ModelEvent, BackendError>>) {
    for line in lines {
        if let Line::Wait(time) = line {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = events.closed() => return,
            }
        } else if let Some(word) = line.word()
            && events.send(word).await.is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
