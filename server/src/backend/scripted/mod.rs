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
//! Recordings of one question are the exception: they answer in the order in which they were recorded,
//! in each namespace for itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Backend, BackendError, ModelEvent, ModelStream, Prompt, STREAM_CAPACITY};
use crate::counts::Counted;
use crate::fault::Fault;
use crate::interaction::{Failure, FailureKind, Manner};
use chain::Chain;
use library::Library;
use speech::Line;

mod additions;
mod after;
mod asked;
mod chain;
mod condition;
mod cue;
mod diagnosis;
mod given;
mod keys;
mod library;
mod names;
mod offer;
mod part;
mod rehearsal;
mod same;
mod scenario;
mod script;
mod shadow;
mod speech;
mod template;
mod words;

pub use additions::Additions;
pub use asked::{Asked, Said, asked};
pub use condition::When;
pub use diagnosis::frame;
pub use given::{ANY, canonical, functions, hash, history_before};
pub use library::files;
pub use names::{NAMES, Unknown, unknown};
pub use part::{Expect, Part};
pub use rehearsal::{Next, Rehearsal};
pub use same::{IGNORED, Ignore};
pub use scenario::{Given, Place, Scenario, ScenarioError, parse, parse_value, read, text};
pub use shadow::shadows;
pub use words::beginning;

/// The JSON Schema of a scenario file.
pub const SCHEMA: &str = include_str!("schema.json");

#[derive(Debug)]
pub struct Scripted {
    library: Library,
    additions: Arc<Additions>,
    /// Where what it says was recorded, unless a person made it up.
    recordings: Option<PathBuf>,
}

impl Scripted {
    /// Reads all scenario files of a folder, and reads them again when they change.
    pub fn load(folder: impl AsRef<Path>) -> Result<Scripted, ScenarioError> {
        Ok(Scripted::of(Library::open(folder.as_ref())?))
    }

    /// The same for a folder of recordings. It may have none yet.
    pub fn replay(folder: impl AsRef<Path>) -> Result<Scripted, ScenarioError> {
        let folder = folder.as_ref();
        Ok(Scripted { recordings: Some(folder.to_owned()), ..Scripted::load(folder)? })
    }

    /// What is in a folder now, whatever changes there.
    pub fn as_it_is(folder: &Path) -> Result<Scripted, ScenarioError> {
        Ok(Scripted::of(Library::fixed(library::read(folder)?)))
    }

    pub fn from_scenarios(scenarios: Vec<Scenario>) -> Scripted {
        Scripted::of(Library::fixed(scenarios))
    }

    /// What clients add is asked first.
    pub fn with_additions(self, additions: Arc<Additions>) -> Scripted {
        let scripted = self.listed_in(&additions);
        Scripted { additions, ..scripted }
    }

    /// The same, in the list of all scenarios.
    pub fn listed_in(self, additions: &Additions) -> Scripted {
        additions.beside(self.library.follow());
        self
    }

    /// Whether it has an answer to this prompt that nothing failed in, and that the interaction has not
    /// been too often asked for.
    pub fn knows(&self, prompt: &Prompt) -> bool {
        let loaded = self.library.current();
        let scenarios: Vec<&Scenario> = loaded.iter().collect();
        let Ok(cue) = cue::next(&scenarios, Chain::new(prompt), &|_| 0) else { return false };
        let Some(question) = &cue.scenario.question else { return !cue.scenario.fails() };
        let same = |scenario: &&&Scenario| scenario.question.as_ref() == Some(question);
        let answers = scenarios.iter().filter(same).filter(|scenario| !scenario.fails()).count();
        let number = prompt.note.take(|| prompt.note.tally().next(Counted::Question(question)));
        number < answers as u64
    }

    fn of(library: Library) -> Scripted {
        Scripted { library, additions: Arc::default(), recordings: None }
    }

    fn lines(&self, prompt: &Prompt) -> Result<Vec<Line>, BackendError> {
        let (added, loaded) = (self.additions.of(&prompt.namespace), self.library.current());
        let scenarios: Vec<&Scenario> = added.iter().chain(loaded.iter()).collect();
        if let (Some(folder), []) = (&self.recordings, &scenarios[..]) {
            return Err(BackendError::Refused(format!(
                "There are no recordings in {}, so there is nothing to replay. A server that is \
                 started with --record and this folder makes some.",
                folder.display()
            )));
        }
        let chain = Chain::new(prompt);
        let tally = prompt.note.tally();
        let take = |question: &str| prompt.note.take(|| tally.next(Counted::Question(question)));
        let cue = cue::next(&scenarios, chain, &take).map_err(BackendError::Refused)?;
        let is_first = prompt.note.matched(&cue.scenario.name);
        if let Some(why) = offer::refusal(cue.scenario, &cue.speech, prompt) {
            return Err(refused(why, chain));
        }
        if is_first {
            tally.next(cue.scenario.counted());
        }
        prompt.note.wants(faults(&cue.scenario.script));
        if chain.last_run_failed() && !cue.speech.looked {
            warn_of_templates(&cue, prompt);
        }
        speech::lines(&cue, &chain.names()).map_err(BackendError::Refused)
    }
}

/// A request that is refused in the middle of an interaction fails as it would have at its beginning.
fn refused(why: String, chain: Chain<'_>) -> BackendError {
    if chain.begins() {
        BackendError::Refused(why)
    } else {
        let manner = Manner::Thrown;
        BackendError::Failed(Failure { manner, ..Failure::new(FailureKind::InvalidRequest, why) })
    }
}

/// `The average is .` is what a text says where the code failed, and looks like an answer.
fn warn_of_templates(cue: &cue::Cue<'_>, prompt: &Prompt) {
    let name = &cue.scenario.name;
    for part in cue.speech.parts.iter().filter(|part| speech::uses_result(part)) {
        tracing::warn!(scenario = name, part = part.kind(), "template uses failed run");
        prompt.note.warn(format!(
            "A `{}` of the scenario `{name}` uses what a run printed that failed. An `if_error` after \
             the code says what is said then.",
            part.kind()
        ));
    }
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
        let lines = self.lines(&prompt);
        // Where there is nothing to wait for, no task has to do so.
        match lines {
            Ok(lines) if are_said_at_once(&lines) => {
                for word in lines.into_iter().filter_map(Line::word) {
                    events.try_send(word).expect("there is room for all of them");
                }
            }
            Ok(lines) => drop(tokio::spawn(async move { speak(lines, &events).await })),
            Err(error) => events.try_send(Err(error)).expect("there is room for one"),
        }
        stream
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
