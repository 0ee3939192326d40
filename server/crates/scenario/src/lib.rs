//! The scripted model: its output comes from a scenario file, while the code in it really runs.
//!
//! ```text
//!   folder ──▶ library ──▶ scenario (condition · part · template)
//!                               │
//!   prompt ──▶ conversation ──▶ matcher ──▶ script ──▶ speech ──▶ events
//! ```
//!
//! The conversation alone determines the scenario and the position in it: see
//! [`position`]. Nothing is counted or stored between requests, so concurrent tests do not
//! interfere. Recordings of the same question are the exception: they answer in the order in which
//! they were recorded, separately for each namespace.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use backend::{
    Backend, BackendError, ModelEvent, ModelStream, Prompt, RequestContext, STREAM_CAPACITY,
};
use condition::conversation::{ClientMessages, Conversation};
use condition::time::ComparisonTime;
use domain::chaos::fault::Fault;
use domain::counts::Counted;
use domain::interaction::{Failure, FailureDelivery, FailureKind, Step};
use journal::JournalHandle;
use matching::matcher::NoAnswer;
use matching::{matcher, offer};
use parse::json::JsonSize;
use playback::speech::{self, Line};
use resources::places::{OwnersPlaces, Places};
use scenario::library::{self, Library, Scenarios};

mod additions;
mod condition;
mod matching;
mod nearest;
mod pattern;
mod playback;
mod position;
mod scenario;
mod template;

pub use additions::AddedScenarios;
pub use condition::asked::{Asked, ClientMessage, asked};
pub use condition::given::{ANY, canonical, functions, hash, history_before};
pub use condition::same::{IGNORED, Ignore};
pub use condition::when::When;
pub use condition::words::beginning;
pub use matching::shadow::shadows;
pub use playback::dry_run::{DryRun, NextCode};
pub use scenario::diagnosis::frame;
pub use scenario::library::{BrokenScenarios, files};
pub use scenario::part::{Expect, Part};
pub use scenario::part::{SYNTAX, ValueKind};
pub use scenario::tool_keys::tool_part;
pub use scenario::{GivenFile, Position, Scenario, ScenarioError, parse, parse_value, read, text};
pub use template::child::{ARGUMENT as RENDER_ARGUMENT, main as render_template};
pub use template::names::{NAMES, Unknown, unknown};

/// Maximum number of requests that are matched and rendered at the same time if that may take long, of all
/// owners and of one.
const HEAVY_AT_A_TIME: usize = 4;
const HEAVY_OF_OWNER: usize = 2;
/// Scenarios that are compared in the time in which a conversation is read once.
const SCENARIOS_AT_ONCE: usize = 50;
/// Conversations with more text, compared with few scenarios, are matched on a blocking thread.
const LONG_BYTES: usize = 256 << 10;

/// The JSON Schema of a scenario file.
pub static SCHEMA: LazyLock<String> = LazyLock::new(|| {
    let mut schema: Value =
        serde_json::from_str(include_str!("schema.json")).expect("a test parses it");
    let part = &mut schema["$defs"]["part"];
    let raw = part["properties"]["raw"].take();
    let rows = || SYNTAX.iter().map(|row| (row.key.to_owned(), (row.schema)()));
    part["properties"] = rows().chain([("raw".to_owned(), raw)]).collect();
    part["oneOf"] = rows().map(|(key, _)| json!({"required": [key]})).collect();
    format!("{schema:#}\n")
});

#[derive(Debug)]
pub struct Scripted {
    library: Library,
    additions: Arc<AddedScenarios>,
    /// The folder of the scenarios, as the operator named it.
    folder: Option<PathBuf>,
    /// The folder of the recordings, unless the scenarios were written by hand.
    recordings: Option<PathBuf>,
    /// For work that may take long.
    places: Places,
}

impl Scripted {
    /// Reads all scenario files of a folder and reloads them when they change.
    pub fn load(folder: impl AsRef<Path>) -> Result<Scripted, ScenarioError> {
        let folder = folder.as_ref();
        let library = Library::open(folder)?;
        Ok(Scripted { folder: Some(folder.to_owned()), ..Scripted::of(library) })
    }

    /// The same for a folder of recordings, which may be empty.
    pub fn replay(folder: impl AsRef<Path>) -> Result<Scripted, ScenarioError> {
        let folder = folder.as_ref();
        Ok(Scripted { recordings: Some(folder.to_owned()), ..Scripted::load(folder)? })
    }

    /// Reads a folder once, without watching it.
    pub fn as_it_is(folder: &Path) -> Result<Scripted, ScenarioError> {
        Ok(Scripted::of(Library::fixed(library::read(folder)?)))
    }

    pub fn from_scenarios(scenarios: Vec<Scenario>) -> Scripted {
        Scripted::of(Library::fixed(scenarios))
    }

    /// Added scenarios are tried first.
    pub fn with_additions(self, additions: Arc<AddedScenarios>) -> Scripted {
        let scripted = self.listed_in(&additions);
        Scripted { additions, ..scripted }
    }

    /// Also includes these scenarios in the list of all scenarios.
    pub fn listed_in(self, additions: &AddedScenarios) -> Scripted {
        additions.beside(self.library.follow());
        self
    }

    /// Whether it has a successful answer to this prompt that the interaction has not used up. `None` if
    /// [`Scripted::knows_after_all`] must be asked, because the answer takes long.
    pub fn knows(&self, prompt: &Prompt, context: &RequestContext) -> Option<bool> {
        let loaded = self.library.current();
        if is_long(prompt, loaded.len()) {
            return None;
        }
        is_known(&loaded, prompt, context, &ComparisonTime::short())
    }

    /// The same, on a blocking thread. `false` if it takes too long, or once `events` has no receiver.
    pub async fn knows_after_all(
        &self,
        prompt: &Prompt,
        context: &RequestContext,
        events: &mpsc::Sender<Result<ModelEvent, BackendError>>,
    ) -> bool {
        let places = self.places.of(context.namespace.owner());
        let place = tokio::select! {
            place = places.take() => place,
            () = events.closed() => return false,
        };
        let (loaded, prompt, context) = (self.library.current(), prompt.clone(), context.clone());
        let events = events.clone();
        let known = tokio::task::spawn_blocking(move || {
            let _place = place;
            is_known(&loaded, &prompt, &context, &ComparisonTime::long(&|| events.is_closed()))
        });
        known.await.ok().flatten().unwrap_or(false)
    }
    /// Number of loaded scenarios.
    pub fn loaded(&self) -> usize {
        self.library.current().len()
    }

    fn of(library: Library) -> Scripted {
        let places = Places::new(HEAVY_AT_A_TIME, HEAVY_OF_OWNER);
        Scripted { library, additions: Arc::default(), folder: None, recordings: None, places }
    }

    /// The scenarios that apply to a request now.
    fn repertoire(&self, context: &RequestContext) -> Repertoire {
        Repertoire {
            added: self.additions.of(&context.namespace),
            loaded: self.library.current(),
            folder: self.folder.clone(),
            recordings: self.recordings.clone(),
            journal: context.journal.clone(),
            places: self.places.of(context.namespace.owner()),
        }
    }
}

/// Whether one of these recordings answers; `None` if that takes too long.
fn is_known(
    loaded: &Scenarios,
    prompt: &Prompt,
    context: &RequestContext,
    time: &ComparisonTime<'_>,
) -> Option<bool> {
    let scenarios: Vec<&Scenario> = loaded.iter().collect();
    let read = ClientMessages::of(prompt);
    let matched = match matcher::next(&scenarios, Conversation::new(&read), &|_| 0, time) {
        Ok(matched) => matched,
        Err(NoAnswer::Refused { .. }) => return Some(false),
        Err(NoAnswer::TakesTooLong { .. }) => return None,
    };
    let Some(question) = &matched.scenario.question else {
        return Some(!matched.scenario.fails());
    };
    let same = |scenario: &&&Scenario| scenario.question.as_ref() == Some(question);
    let answers = scenarios.iter().filter(same).filter(|scenario| !scenario.fails()).count();
    let journal = &context.journal;
    let number = journal.take(|| journal.tally().next(Counted::Question(question)));
    Some(number < answers as u64)
}

/// The scenarios for one request.
struct Repertoire {
    added: Scenarios,
    loaded: Scenarios,
    folder: Option<PathBuf>,
    recordings: Option<PathBuf>,
    journal: JournalHandle,
    places: OwnersPlaces,
}

/// How much work matching may do.
#[derive(Clone, Copy)]
enum Effort<'e> {
    /// Only work that does not block other requests.
    Small,
    /// On a blocking thread, while there is a receiver.
    Any(&'e mpsc::Sender<Result<ModelEvent, BackendError>>),
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

    /// The output; `None` if it needs more work than allowed.
    fn lines(
        &self,
        prompt: &Prompt,
        effort: Effort<'_>,
    ) -> Result<Option<Vec<Line>>, BackendError> {
        let scenarios: Vec<&Scenario> = self.added.iter().chain(self.loaded.iter()).collect();
        let is_small = matches!(effort, Effort::Small);
        if is_small && is_long(prompt, scenarios.len()) {
            return Ok(None);
        }
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
        let read = ClientMessages::of(prompt);
        let conversation = Conversation::new(&read);
        let tally = self.journal.tally();
        let take = |question: &str| self.journal.take(|| tally.next(Counted::Question(question)));
        let is_gone: &dyn Fn() -> bool = match effort {
            Effort::Small => &|| false,
            Effort::Any(events) => &|| events.is_closed(),
        };
        let time = if is_small { ComparisonTime::short() } else { ComparisonTime::long(is_gone) };
        let matched = match matcher::next(&scenarios, conversation, &take, &time) {
            Ok(matched) => matched,
            Err(NoAnswer::TakesTooLong { .. }) if is_small => return Ok(None),
            Err(NoAnswer::TakesTooLong { scenarios }) => {
                let why = format!(
                    "Comparing this request with {scenarios} scenarios takes too long. Their patterns \
                     may be slow, or its texts long."
                );
                return Err(BackendError::Refused(why));
            }
            Err(NoAnswer::Refused { text, near_misses }) => {
                self.journal.missed(near_misses);
                return Err(BackendError::Refused(text));
            }
        };
        if is_small && matched.scenario.script.iter().any(Part::is_heavy) {
            return Ok(None);
        }
        let is_first = self.journal.matched(&matched.scenario.name);
        if let Some(why) = offer::refusal(matched.scenario, &matched.speech, prompt) {
            return Err(refused(why, conversation));
        }
        if is_first {
            tally.next(matched.scenario.counted());
        }
        self.journal.wants(faults(&matched.scenario.script));
        if conversation.last_run_failed() && !matched.speech.looked {
            warn_of_templates(&matched, &self.journal);
        }
        speech::lines(&matched, &conversation.names()).map(Some).map_err(BackendError::Refused)
    }
}

/// A request that is refused in the middle of an interaction gets the same error as at its
/// beginning.
fn refused(why: String, conversation: Conversation<'_>) -> BackendError {
    if conversation.begins() {
        BackendError::Refused(why)
    } else {
        let delivery = FailureDelivery::HttpError;
        BackendError::Failed(Failure { delivery, ..Failure::new(FailureKind::InvalidRequest, why) })
    }
}

/// After failed code a text such as `The average is .` looks like an answer.
fn warn_of_templates(matched: &matcher::Matched<'_>, journal: &JournalHandle) {
    let name = &matched.scenario.name;
    for part in matched.speech.parts.iter().filter(|part| speech::uses_result(part)) {
        tracing::warn!(scenario = name, part = part.kind(), "template uses failed run");
        journal.warn(format!(
            "A `{}` of the scenario `{name}` uses the output of a run that failed. Add an `if_error` \
             after the code with an answer for that case.",
            part.kind()
        ));
    }
}

/// Whether comparing the conversation with this many scenarios may take long. Files are hashed.
fn is_long(prompt: &Prompt, scenarios: usize) -> bool {
    let instruction = prompt.system_instruction.as_ref().map_or(0, String::len);
    let functions = prompt.tools.functions.iter().map(|function| {
        let parameters = function.parameters.as_ref().map(JsonSize::of).unwrap_or_default();
        function.description.as_ref().map_or(0, String::len) + parameters.memory_bytes()
    });
    let config = prompt.generation_config.fields().into_iter().flat_map(|fields| fields.values());
    let config = config.map(|value| JsonSize::of(value).memory_bytes());
    let steps = prompt.steps.iter().map(Step::memory_bytes);
    let bytes = instruction + functions.chain(config).chain(steps).sum::<usize>();
    bytes.saturating_mul(1 + scenarios / SCENARIOS_AT_ONCE) > LONG_BYTES
}

/// The faults that a script requests for its answer.
fn faults(script: &[Part]) -> Vec<Fault> {
    let found = script.iter().flat_map(|part| match part {
        Part::Fault(fault) => vec![Fault::clone(fault)],
        Part::IfError(parts) | Part::IfOk(parts) => faults(parts),
        _ => Vec::new(),
    });
    found.collect()
}

impl Backend for Scripted {
    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream {
        let (events, stream) = mpsc::channel(STREAM_CAPACITY);
        let repertoire = self.repertoire(context);
        // Without waits, the events are sent directly and no task is needed.
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

/// The same, computed on a blocking thread.
async fn speak_when_found(
    repertoire: Repertoire,
    prompt: Prompt,
    events: mpsc::Sender<Result<ModelEvent, BackendError>>,
) {
    let place = tokio::select! {
        place = repertoire.places.take() => place,
        () = events.closed() => return,
    };
    let receiver = events.clone();
    let lines = move || {
        let _place = place;
        repertoire.lines(&prompt, Effort::Any(&receiver))
    };
    let lines = tokio::task::spawn_blocking(lines).await;
    match lines {
        Ok(Ok(lines)) => speak(lines.unwrap_or_default(), &events).await,
        // The receiver is gone, or a panic was already reported.
        Ok(Err(error)) => drop(events.send(Err(error)).await),
        Err(_) => {}
    }
}

fn are_said_at_once(lines: &[Line]) -> bool {
    lines.len() <= STREAM_CAPACITY && !lines.iter().any(|line| matches!(line, Line::Wait(_)))
}

/// Ends early when the receiver is gone, even during a wait.
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
