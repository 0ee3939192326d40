//! Steps and their contents.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::tool::ToolResult;
use parse::json::JsonSize;

/// One entry of an interaction, in the words of Gemini's Interactions API.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    UserInput(Vec<Content>),
    /// A thought of the model. `signature` is opaque base64 that clients send back unchanged.
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
    /// A step in Google's format: of a [`super::ServerTool`], of an upstream, or of a tool that this server does
    /// not have. It is kept unchanged, so that a client that sends its history back loses nothing.
    Passthrough(Value),
}

impl Step {
    /// Bytes of its texts, media and JSON in memory.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Step::UserInput(contents) | Step::ModelOutput(contents) => {
                contents.iter().map(Content::memory_bytes).sum()
            }
            Step::Thought { summary, signature } => summary.len() + signature.len(),
            Step::CodeCall(call) => call.code.len(),
            Step::CodeResult(result) => result.result.len() + result.stdout.len(),
            Step::FunctionCall(call) => JsonSize::of(&call.arguments).memory_bytes(),
            Step::FunctionResult(result) => JsonSize::of(&result.result).memory_bytes(),
            Step::SearchCall(call) => call.queries.iter().map(String::len).sum(),
            Step::SearchResult(result) => {
                let pages = result.found.iter();
                pages.map(|page| page.title.len() + page.url.len() + page.snippet.len()).sum()
            }
            Step::Passthrough(step) => JsonSize::of(step).memory_bytes(),
        }
    }

    /// What a text after it may cite.
    pub fn sources(&self) -> Vec<CitedSource> {
        match self {
            Step::SearchResult(result) => result.found.iter().map(Found::source).collect(),
            Step::Passthrough(step) => {
                ToolResult::of_step(step).map(|result| result.sources()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

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
        /// Annotations from clients and upstreams, unchanged.
        annotations: Vec<Value>,
        /// Citations of pages that this server found.
        citations: Vec<Citation>,
    },
    Media(Media),
    /// Content of an unknown type, unchanged.
    Passthrough(Value),
}

impl Content {
    fn memory_bytes(&self) -> usize {
        match self {
            Content::Text { text, annotations, .. } => {
                let annotations = annotations.iter().map(|json| JsonSize::of(json).memory_bytes());
                text.len() + annotations.sum::<usize>()
            }
            Content::Media(Media { source: Source::Inline(bytes), .. }) => bytes.len(),
            Content::Media(Media { source: Source::Uri(uri), .. }) => uri.len(),
            Content::Passthrough(json) => JsonSize::of(json).memory_bytes(),
        }
    }

    pub fn text(text: impl Into<String>) -> Content {
        Content::Text { text: text.into(), annotations: Vec::new(), citations: Vec::new() }
    }
}

/// An image, a document, audio or video.
#[derive(Debug, Clone, PartialEq)]
pub struct Media {
    pub kind: MediaKind,
    /// Lower case, without parameters. Absent if neither the client nor the bytes specify it.
    pub mime_type: Option<String>,
    pub source: Source,
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    IntoStaticStr,
    EnumString,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    Image,
    Audio,
    Video,
    Document,
}

impl MediaKind {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
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

/// The result of a [`CodeCall`].
#[derive(Debug, Clone, PartialEq)]
pub struct CodeResult {
    /// Equals the `id` of the [`CodeCall`].
    pub call_id: String,
    pub outcome: Outcome,
    /// Output for client and model: stdout, and after a failure also stderr with the traceback.
    pub result: String,
    /// stdout alone.
    pub stdout: String,
    /// Number of pictures that the run made.
    pub images: usize,
    pub signature: String,
}

/// How a run ended. Clients get everything but `Ok` as an error.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantNames, Serialize, Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    Failed,
    DeadlineExceeded,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub fn is_error(self) -> bool {
        self != Outcome::Ok
    }
}

/// A call of a client's function; the client sends its result.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    pub id: String,
    pub name: String,
    /// A JSON object.
    pub arguments: Value,
    pub signature: String,
}

/// The client's result of a [`FunctionCall`].
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionResult {
    pub call_id: String,
    pub name: Option<String>,
    /// A string, an object, or a list of contents, unchanged.
    pub result: Value,
    pub is_error: bool,
}

/// A web search of the model.
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
    /// HTML that a client may show so that its user can continue the search.
    pub suggestions: Option<String>,
    /// Whether the search failed.
    pub is_error: bool,
    pub signature: String,
}

/// A page that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    pub title: String,
    pub url: String,
    pub snippet: String,
}

impl Found {
    pub fn source(&self) -> CitedSource {
        let (title, url) = (self.title.clone(), self.url.clone());
        CitedSource { title, url, kind: SourceKind::Page }
    }
}

/// A part of a text, and the source that it cites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citation {
    pub source: CitedSource,
    /// In bytes of the text.
    pub range: Range<usize>,
}

/// What a text may cite. Its URL identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CitedSource {
    pub title: String,
    pub url: String,
    pub kind: SourceKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    #[default]
    Page,
    /// A place of a map, by its id.
    Place(String),
    /// A document of a file search store, whose name is the URL.
    Document,
}
