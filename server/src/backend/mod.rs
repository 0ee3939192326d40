//! A language model, as far as the engine can tell. No provider's name is to be found here.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::interaction::{Failure, Found, Reason, Step, Usage};
use crate::journal::Note;
use crate::namespace::Namespace;
use crate::recording::Tape;

pub mod direct;
pub mod gemini;
mod markdown;
pub mod openai;
pub mod recorded;
pub mod router;
pub mod scripted;
pub mod upstream;

/// A language model: a conversation goes in, events come out.
///
/// The stream ends with [`ModelEvent::End`], with [`ModelEvent::Code`], or with an error, and
/// nothing follows any of them. Dropping the stream cancels the generation.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    fn generate(&self, prompt: Prompt) -> ModelStream;

    /// Whether the model behind it gives and checks thought signatures of its own.
    fn has_own_signatures(&self, _model: &str) -> bool {
        false
    }
}

pub type ModelStream = mpsc::Receiver<Result<ModelEvent, BackendError>>;

/// How many events a model may be ahead of its reader.
pub const STREAM_CAPACITY: usize = 64;

/// All that a model is told.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Whose scenarios are asked first.
    pub namespace: Namespace,
    /// Where it is noted which scenario spoke.
    pub note: Note,
    /// Where all that is said is put, where somebody records.
    pub tape: Tape,
    /// As the client named it, without `models/`.
    pub model: String,
    pub system_instruction: Option<String>,
    pub tools: Tools,
    /// The client's `generation_config`, as it came; `Null` where there was none.
    pub generation_config: Value,
    /// The whole chain, oldest first, this interaction's own steps included.
    pub steps: Arc<[Step]>,
    /// What lies in the working directory, in the order of the names.
    pub files: Arc<[InputFile]>,
}

impl Prompt {
    /// The tools that the request lets the model use: those that it offers, but for what its
    /// `tool_choice` leaves out. A tool that the engine takes away at the end is among them.
    pub fn allowed(&self) -> Vec<&str> {
        let offered = self.tools.offered.iter().map(String::as_str);
        let choice = &self.generation_config["tool_choice"];
        let allowed = &choice["allowed_tools"];
        if *choice == "none" || allowed["mode"] == "none" {
            return Vec::new();
        }
        match allowed["tools"].as_array() {
            Some(names) => offered.filter(|tool| names.iter().any(|name| name == tool)).collect(),
            None => offered.collect(),
        }
    }
}

/// What the model may use. Asked anew each turn: the engine takes code execution away at the end.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    pub code_execution: bool,
    /// Whether the server looks things up for the model: it was offered, and there is where to look.
    pub google_search: bool,
    pub functions: Vec<Function>,
    /// Names of all tools that the client offered in this request, `code_execution` included,
    /// whether or not it is still available.
    pub offered: Vec<String>,
}

/// A function of the client's.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema.
    pub parameters: Option<Value>,
}

/// A file of the input, as it lies in the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// `input_file_0.csv`
    pub name: String,
    pub mime_type: String,
    pub bytes: u64,
    pub content: FileContent,
}

/// What a file is told apart by.
#[derive(Clone, PartialEq, Eq)]
pub enum FileContent {
    Here(Bytes),
    /// On the disk. This is its SHA-256, in hexadecimal digits.
    Stored(String),
}

impl FileContent {
    /// In hexadecimal digits.
    pub fn sha256(&self) -> String {
        match self {
            FileContent::Here(bytes) => {
                Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
            }
            FileContent::Stored(sha256) => sha256.clone(),
        }
    }
}

impl fmt::Debug for FileContent {
    /// Without what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileContent").finish_non_exhaustive()
    }
}

/// One thing that a model says.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// A piece of a thought's summary. Pieces in a row are one thought.
    Thought(String),
    /// A piece of the visible text. Pieces in a row are one text.
    Text(String),
    /// Code to run. The model's turn ends here.
    Code(String),
    /// A search of the web that has been made.
    Search {
        queries: Vec<String>,
        found: Vec<Found>,
    },
    /// A search for the server to make. Where the model waits for what it finds, its turn ends with
    /// [`Finish::Searched`].
    Lookup {
        queries: Vec<String>,
    },
    /// A function for the client to call. More may follow; the interaction ends its turn at `End`.
    FunctionCall {
        name: String,
        arguments: Value,
    },
    /// What the model calls the call that comes next, and signs it with. Without it the server gives
    /// both.
    Mark(Mark),
    /// The thought that was said is over, and this is its signature. Without it the server gives one.
    Sealed(String),
    /// A step of a server that speaks as this one does, handed on as it comes.
    Foreign(Foreign),
    /// What that server counted that ran all of this, in its own words.
    CountedElsewhere(Value),
    /// What the model counted in this turn; it adds up. Comes before the turn's last event.
    Counted(Usage),
    End(End),
}

impl ModelEvent {
    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        matches!(self, ModelEvent::Code(_) | ModelEvent::End(_))
    }
}

/// How a call is known where it was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    pub id: Option<String>,
    /// Opaque, and handed back unchanged.
    pub signature: String,
}

/// What happens to a step that is handed on as it comes: JSON in Google's words.
#[derive(Debug, Clone, PartialEq)]
pub enum Foreign {
    Started(Value),
    Delta(Value),
    Stopped,
}

/// How a turn of the model ended, when it did not end with code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    pub finish: Finish,
    /// Instead of all that was counted before, in any way.
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Finish {
    #[default]
    Stop,
    /// Cut short by the limit on output tokens.
    MaxTokens,
    /// It wants to be asked again, with what was found.
    Searched,
    /// Cut short, and not to be taken for an answer.
    Stopped(Reason),
}

/// Why a model did not answer. The text is shown to the client.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// The request does not fit this model: asking again will not help.
    #[error("{0}")]
    Refused(String),
    /// The model is not there at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// It failed in a way of its own, or of its script's.
    #[error("{}", .0.message)]
    Failed(Failure),
}
