//! Interface between the engine and a language model. It names no provider.

#![forbid(unsafe_code)]

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use domain::interaction::{
    Content, Failure, Found, GenerationConfig, Reason, Step, ToolUse, Usage,
};
use parse::json::JsonSize;

mod built_in;
mod context;
mod embedding;

pub use built_in::{AllowedTools, BuiltIn, ComputerUse, FileSearch, GoogleMaps, McpServer};
pub use context::RequestContext;
pub use embedding::{Embed, EmbedInput, EmbedPart, Embedded, MediaContent};

/// A language model: a conversation goes in, a stream of events comes out.
///
/// The stream ends with [`ModelEvent::End`], with [`ModelEvent::Code`], or with an error, and
/// nothing follows any of them. Dropping the stream cancels the generation.
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    fn generate(&self, prompt: Prompt, context: &RequestContext) -> ModelStream;

    /// Embeds on the model's own server. `None` leaves it to this one.
    fn embed(&self, _request: &Arc<Embed>) -> Option<Embedding> {
        None
    }

    /// Whether the model behind it creates and checks its own thought signatures.
    fn has_own_signatures(&self, _model: &str) -> bool {
        false
    }
}

pub type Embedding = Pin<Box<dyn Future<Output = Result<Embedded, BackendError>> + Send>>;

pub type ModelStream = mpsc::Receiver<Result<ModelEvent, BackendError>>;

/// Maximum size of all text, code and arguments of one interaction, without files. The engine refuses more.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// Maximum number of [`JsonSize::excess`] values of all events of one interaction: a value takes seventy
/// bytes of memory, and several copies exist.
pub const MAX_JSON_VALUES: usize = 100_000;
/// How many events a model may be ahead of its reader.
pub const STREAM_CAPACITY: usize = 64;

/// Everything that a model is given.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// As the client named it, without `models/`.
    pub model: String,
    pub system_instruction: Option<String>,
    pub tools: Tools,
    pub generation_config: GenerationConfig,
    /// The whole chain, oldest first, including the steps of this interaction.
    pub steps: Arc<[Step]>,
    /// Files in the working directory, sorted by name.
    pub files: Arc<[InputFile]>,
}

impl Prompt {
    /// A prompt of one text, without tools.
    pub fn text(model: &str, text: &str) -> Prompt {
        Prompt {
            model: model.to_owned(),
            system_instruction: None,
            tools: Tools::default(),
            generation_config: GenerationConfig::default(),
            steps: [Step::UserInput(vec![Content::text(text)])].into(),
            files: [].into(),
        }
    }

    /// The tools that the model may use: the offered ones, restricted by `tool_choice`. A tool that
    /// the engine removes at the end is still included.
    pub fn allowed(&self) -> Vec<&str> {
        let offered = self.tools.offered.iter().map(String::as_str);
        self.generation_config.permitted(offered)
    }
}

/// The tools of one turn. The engine rebuilds them each turn, because it removes code execution at
/// the end.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    pub code_execution: bool,
    /// Whether the server searches for the model: search was offered, and a search backend is
    /// configured.
    pub google_search: bool,
    pub functions: Vec<Function>,
    /// The other tools that the client declared.
    pub built_in: Vec<BuiltIn>,
    /// Names of all tools that the client offered in this request, `code_execution` included, even
    /// if it is no longer available.
    pub offered: Vec<String>,
}

impl Tools {
    /// Whether a model may call a client's function of this name that was not declared.
    pub fn has_predefined(&self, name: &str) -> bool {
        self.built_in.iter().any(
            |tool| matches!(tool, BuiltIn::ComputerUse(computer) if computer.has_function(name)),
        )
    }
}

/// A function of the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub name: String,
    pub description: Option<String>,
    /// JSON Schema.
    pub parameters: Option<Value>,
}

/// An input file in the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// `input_file_0.csv`
    pub name: String,
    pub mime_type: String,
    pub bytes: u64,
    pub content: FileContent,
}

/// The content of a file, or its hash; it identifies the file.
#[derive(Clone, PartialEq, Eq)]
pub enum FileContent {
    Here(Bytes),
    /// A file on disk, by its SHA-256 in hexadecimal.
    Stored(String),
}

impl FileContent {
    /// In hexadecimal.
    pub fn sha256(&self) -> String {
        match self {
            FileContent::Here(bytes) => hex::encode(Sha256::digest(bytes)),
            FileContent::Stored(sha256) => sha256.clone(),
        }
    }
}

impl fmt::Debug for FileContent {
    /// Omits the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileContent").finish_non_exhaustive()
    }
}

/// One event of a model's output.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelEvent {
    /// A piece of a thought summary. Consecutive pieces form one thought.
    Thought(String),
    /// A piece of the visible text. Consecutive pieces form one text.
    Text(String),
    /// Code to run. The model's turn ends here.
    Code(String),
    /// A web search that has already been made.
    Search {
        queries: Vec<String>,
        found: Vec<Found>,
    },
    /// A web search for the server to make. If the model waits for its results, its turn ends with
    /// [`Finish::Searched`].
    Lookup {
        queries: Vec<String>,
    },
    /// A tool that has already been used, or that the server is to use. If the model waits for the result,
    /// its turn ends with [`Finish::Searched`].
    Tool(ToolUse),
    /// A function for the client to call. More may follow; the interaction ends its turn at `End`.
    FunctionCall {
        name: String,
        arguments: Value,
    },
    /// Id and signature of the next call. If this event is missing, the server creates both.
    CallIdentity(CallIdentity),
    /// Ends the current thought and carries its signature. If this event is missing, the server
    /// creates one.
    ThoughtSignature(String),
    /// A step of an upstream Gemini server, passed through unchanged.
    Passthrough(Passthrough),
    /// Token usage of an upstream that ran the whole interaction, in the upstream's own JSON.
    UpstreamUsage(Value),
    /// Token counts of the model for this turn; they are summed. Comes before the turn's last
    /// event.
    Counted(Usage),
    End(End),
}

impl ModelEvent {
    /// Size of what the model generated. Values are counted for JSON only.
    pub fn size(&self) -> JsonSize {
        let of_texts = |texts: &mut dyn Iterator<Item = &String>| JsonSize {
            values: 0,
            text_bytes: texts.map(String::len).sum(),
        };
        match self {
            ModelEvent::Thought(text)
            | ModelEvent::Text(text)
            | ModelEvent::Code(text)
            | ModelEvent::ThoughtSignature(text) => of_texts(&mut [text].into_iter()),
            ModelEvent::CallIdentity(CallIdentity { id, signature }) => {
                of_texts(&mut id.iter().chain([signature]))
            }
            ModelEvent::Search { queries, found } => {
                let found = found.iter().flat_map(|page| [&page.title, &page.url, &page.snippet]);
                of_texts(&mut queries.iter().chain(found))
            }
            ModelEvent::Lookup { queries } => of_texts(&mut queries.iter()),
            ModelEvent::Tool(used) => used.size(),
            ModelEvent::FunctionCall { name, arguments } => {
                let JsonSize { values, text_bytes } = JsonSize::of(arguments);
                JsonSize { values, text_bytes: text_bytes + name.len() }
            }
            ModelEvent::Passthrough(Passthrough::Started(json) | Passthrough::Delta(json))
            | ModelEvent::UpstreamUsage(json) => JsonSize::of(json),
            ModelEvent::Passthrough(Passthrough::Stopped)
            | ModelEvent::Counted(_)
            | ModelEvent::End(_) => JsonSize::default(),
        }
    }

    /// Whether this event is the last one of a turn.
    pub fn is_last(&self) -> bool {
        matches!(self, ModelEvent::Code(_) | ModelEvent::End(_))
    }
}

/// Id and signature of a call, as its origin knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallIdentity {
    pub id: Option<String>,
    /// Opaque; sent back unchanged.
    pub signature: String,
}

/// One stage of a step that is passed through, as JSON in Google's format.
#[derive(Debug, Clone, PartialEq)]
pub enum Passthrough {
    Started(Value),
    Delta(Value),
    Stopped,
}

/// How a turn of the model ended, unless it ended with code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct End {
    pub finish: Finish,
    /// Replaces all earlier counts.
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Finish {
    #[default]
    Stop,
    /// Stopped by the limit on output tokens.
    MaxTokens,
    /// The model must be called again with the results of searches and other tools.
    Searched,
    /// Cut off; the output is not an answer.
    Stopped(Reason),
}

/// Why a model did not answer. The text is shown to the client.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// The model cannot serve this request: a retry does not help.
    #[error("{0}")]
    Refused(String),
    /// The model is temporarily unavailable.
    #[error("{0}")]
    Unavailable(String),
    /// A failure with its own details, or one that a scenario requested.
    #[error("{}", .0.message)]
    Failed(Failure),
}
