//! The nouns: steps, and what is in them.

use std::ops::Range;

use bytes::Bytes;
use serde_json::Value;

/// One entry of an interaction, in the words of Gemini's Interactions API.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    UserInput(Vec<Content>),
    /// What the model thought. `signature` is opaque base64 that clients hand back unchanged.
    Thought {
        summary: String,
        signature: String,
    },
    ModelOutput(Vec<Content>),
    CodeCall(CodeCall),
    CodeResult(CodeResult),
    FunctionCall(FunctionCall),
    FunctionResult(FunctionResult),
    SearchCall(SearchCall),
    SearchResult(SearchResult),
    /// A step of a tool that this server does not have, kept as it came so that a client which
    /// sends its history back loses nothing.
    Passthrough(Value),
}

impl Step {
    /// The text of a model's message; none for any other step.
    pub fn model_text(&self) -> Option<String> {
        let Step::ModelOutput(contents) = self else { return None };
        let texts = contents.iter().filter_map(|content| match content {
            Content::Text { text, .. } => Some(text.as_str()),
            Content::Media(_) | Content::Passthrough(_) => None,
        });
        Some(texts.collect())
    }

    /// The texts of a user's message, joined by line breaks; none for any other step.
    pub fn user_text(&self) -> Option<String> {
        let Step::UserInput(contents) = self else { return None };
        let texts = contents.iter().filter_map(|content| match content {
            Content::Text { text, .. } => Some(text.as_str()),
            Content::Media(_) | Content::Passthrough(_) => None,
        });
        Some(texts.collect::<Vec<_>>().join("\n"))
    }
}

/// A piece of a user's or a model's message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Text {
        text: String,
        /// Citations and the like, as they came.
        annotations: Vec<Value>,
        /// Those that are ours, of pages that were found here.
        citations: Vec<Citation>,
    },
    Media(Media),
    /// A content of a type that this server does not know.
    Passthrough(Value),
}

impl Content {
    pub fn text(text: impl Into<String>) -> Content {
        Content::Text { text: text.into(), annotations: Vec::new(), citations: Vec::new() }
    }
}

/// A picture, a document, a sound or a film.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    pub kind: MediaKind,
    /// Lower case, without parameters. Absent where neither the client nor the bytes tell.
    pub mime_type: Option<String>,
    pub source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    Image,
    Audio,
    Video,
    Document,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Inline(Bytes),
    Uri(String),
}

/// Code that the model wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeCall {
    /// 8 characters `[a-z0-9]`, as recorded from the real service.
    pub id: String,
    pub code: String,
    pub signature: String,
}

/// What came of running it.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeResult {
    /// Equals the `id` of the [`CodeCall`].
    pub call_id: String,
    pub outcome: Outcome,
    /// What client and model get to read: stdout, and after a failure stderr and the traceback.
    pub result: String,
    /// stdout alone.
    pub stdout: String,
    /// How many pictures the run made.
    pub images: usize,
    pub signature: String,
}

/// How a run ended. Anything but `Ok` is an error to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Failed,
    DeadlineExceeded,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::DeadlineExceeded => "deadline_exceeded",
        }
    }

    pub fn is_error(self) -> bool {
        self != Outcome::Ok
    }
}

/// A call that the client has to answer.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    pub id: String,
    pub name: String,
    /// A JSON object.
    pub arguments: Value,
    pub signature: String,
}

/// The client's answer to a [`FunctionCall`].
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionResult {
    pub call_id: String,
    pub name: Option<String>,
    /// A string, an object, or a list of contents, as it came.
    pub result: Value,
    pub is_error: bool,
}

/// What the model looked for on the web.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchCall {
    pub id: String,
    pub queries: Vec<String>,
    pub signature: String,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct SearchResult {
    /// Equals the `id` of the [`SearchCall`].
    pub call_id: String,
    pub found: Vec<Found>,
    /// What a client may show to let its user search on, as HTML.
    pub suggestions: Option<String>,
    /// Whether it could not be searched.
    pub is_error: bool,
    pub signature: String,
}

/// One page that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    pub title: String,
    pub url: String,
    pub snippet: String,
}

/// A part of a text, and the page that it was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    pub title: String,
    pub url: String,
    /// In bytes of the text.
    pub range: Range<usize>,
}
