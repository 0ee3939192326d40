//! Steps and contents on the disk.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Blobs, RecordError};
use domain::interaction::{
    Citation, CitedSource, CodeCall, CodeResult, Content, Found, FunctionCall, FunctionResult,
    Media, MediaKind, Outcome, SearchCall, SearchResult, Source, SourceKind, Step,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRecord {
    UserInput(Vec<ContentRecord>),
    Thought {
        summary: String,
        signature: String,
    },
    ModelOutput(Vec<ContentRecord>),
    CodeCall {
        id: String,
        code: String,
        signature: String,
    },
    CodeResult(CodeResultRecord),
    FunctionCall {
        id: String,
        name: String,
        arguments: Value,
        signature: String,
    },
    FunctionResult {
        call_id: String,
        name: Option<String>,
        result: Value,
        is_error: bool,
    },
    SearchCall {
        id: String,
        queries: Vec<String>,
        signature: String,
    },
    SearchResult {
        call_id: String,
        found: Vec<FoundRecord>,
        #[serde(default)]
        suggestions: Option<String>,
        #[serde(default)]
        is_error: bool,
        signature: String,
    },
    Foreign(Value),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentRecord {
    Text {
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        annotations: Vec<Value>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        citations: Vec<CitationRecord>,
    },
    Media(MediaRecord),
    Foreign(Value),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct MediaRecord {
    kind: MediaKind,
    mime_type: Option<String>,
    source: SourceRecord,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceRecord {
    /// The address of a blob.
    Blob(String),
    Uri(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CodeResultRecord {
    call_id: String,
    outcome: Outcome,
    result: String,
    stdout: String,
    images: usize,
    signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct CitationRecord {
    title: String,
    url: String,
    from: usize,
    to: usize,
    /// Absent in records of older servers, which cited only pages.
    #[serde(default)]
    kind: SourceKind,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FoundRecord {
    title: String,
    url: String,
    snippet: String,
}

impl StepRecord {
    pub fn of(step: &Step, blobs: &mut Blobs) -> StepRecord {
        let mut contents = |contents: &[Content]| {
            contents.iter().map(|content| ContentRecord::of(content, blobs)).collect()
        };
        match step.clone() {
            Step::UserInput(input) => StepRecord::UserInput(contents(&input)),
            Step::Thought { summary, signature } => StepRecord::Thought { summary, signature },
            Step::ModelOutput(output) => StepRecord::ModelOutput(contents(&output)),
            Step::CodeCall(CodeCall { id, code, signature }) => {
                StepRecord::CodeCall { id, code, signature }
            }
            Step::CodeResult(result) => StepRecord::CodeResult(result.into()),
            Step::FunctionCall(FunctionCall { id, name, arguments, signature }) => {
                StepRecord::FunctionCall { id, name, arguments, signature }
            }
            Step::FunctionResult(FunctionResult { call_id, name, result, is_error }) => {
                StepRecord::FunctionResult { call_id, name, result, is_error }
            }
            Step::SearchCall(SearchCall { id, queries, signature }) => {
                StepRecord::SearchCall { id, queries, signature }
            }
            Step::SearchResult(SearchResult {
                call_id,
                found,
                suggestions,
                is_error,
                signature,
            }) => {
                let found = found.into_iter().map(Into::into).collect();
                StepRecord::SearchResult { call_id, found, suggestions, is_error, signature }
            }
            Step::Passthrough(step) => StepRecord::Foreign(step),
        }
    }

    pub fn step(self, blobs: &Blobs) -> Result<Step, RecordError> {
        let contents = |records: Vec<ContentRecord>| {
            records.into_iter().map(|record| record.content(blobs)).collect::<Result<_, _>>()
        };
        Ok(match self {
            StepRecord::UserInput(input) => Step::UserInput(contents(input)?),
            StepRecord::Thought { summary, signature } => Step::Thought { summary, signature },
            StepRecord::ModelOutput(output) => Step::ModelOutput(contents(output)?),
            StepRecord::CodeCall { id, code, signature } => {
                Step::CodeCall(CodeCall { id, code, signature })
            }
            StepRecord::CodeResult(result) => Step::CodeResult(result.into()),
            StepRecord::FunctionCall { id, name, arguments, signature } => {
                Step::FunctionCall(FunctionCall { id, name, arguments, signature })
            }
            StepRecord::FunctionResult { call_id, name, result, is_error } => {
                Step::FunctionResult(FunctionResult { call_id, name, result, is_error })
            }
            StepRecord::SearchCall { id, queries, signature } => {
                Step::SearchCall(SearchCall { id, queries, signature })
            }
            StepRecord::SearchResult { call_id, found, suggestions, is_error, signature } => {
                let found = found.into_iter().map(Into::into).collect();
                let result = SearchResult { call_id, found, suggestions, is_error, signature };
                Step::SearchResult(result)
            }
            StepRecord::Foreign(step) => Step::Passthrough(step),
        })
    }
}

impl ContentRecord {
    fn of(content: &Content, blobs: &mut Blobs) -> ContentRecord {
        match content.clone() {
            Content::Text { text, annotations, citations } => {
                let citations = citations.into_iter().map(Into::into).collect();
                ContentRecord::Text { text, annotations, citations }
            }
            Content::Media(media) => ContentRecord::Media(MediaRecord::of(media, blobs)),
            Content::Passthrough(content) => ContentRecord::Foreign(content),
        }
    }

    fn content(self, blobs: &Blobs) -> Result<Content, RecordError> {
        Ok(match self {
            ContentRecord::Text { text, annotations, citations } => {
                let citations = citations.into_iter().map(Into::into).collect();
                Content::Text { text, annotations, citations }
            }
            ContentRecord::Media(media) => Content::Media(media.media(blobs)?),
            ContentRecord::Foreign(content) => Content::Passthrough(content),
        })
    }
}

impl MediaRecord {
    pub fn of(media: Media, blobs: &mut Blobs) -> MediaRecord {
        MediaRecord {
            kind: media.kind,
            mime_type: media.mime_type,
            source: match media.source {
                Source::Inline(bytes) => SourceRecord::Blob(blobs.keep(&bytes)),
                Source::Uri(uri) => SourceRecord::Uri(uri),
            },
        }
    }

    pub fn media(self, blobs: &Blobs) -> Result<Media, RecordError> {
        Ok(Media {
            kind: self.kind,
            mime_type: self.mime_type,
            source: match self.source {
                SourceRecord::Blob(address) => Source::Inline(blobs.get(&address)?),
                SourceRecord::Uri(uri) => Source::Uri(uri),
            },
        })
    }
}

impl From<Citation> for CitationRecord {
    fn from(Citation { source, range }: Citation) -> CitationRecord {
        let CitedSource { title, url, kind } = source;
        CitationRecord { title, url, kind, from: range.start, to: range.end }
    }
}

impl From<CitationRecord> for Citation {
    fn from(CitationRecord { title, url, kind, from, to }: CitationRecord) -> Citation {
        Citation { source: CitedSource { title, url, kind }, range: from..to }
    }
}

impl From<Found> for FoundRecord {
    fn from(Found { title, url, snippet }: Found) -> FoundRecord {
        FoundRecord { title, url, snippet }
    }
}

impl From<FoundRecord> for Found {
    fn from(FoundRecord { title, url, snippet }: FoundRecord) -> Found {
        Found { title, url, snippet }
    }
}

impl From<CodeResult> for CodeResultRecord {
    fn from(result: CodeResult) -> CodeResultRecord {
        CodeResultRecord {
            call_id: result.call_id,
            outcome: result.outcome,
            result: result.result,
            stdout: result.stdout,
            images: result.images,
            signature: result.signature,
        }
    }
}

impl From<CodeResultRecord> for CodeResult {
    fn from(record: CodeResultRecord) -> CodeResult {
        CodeResult {
            call_id: record.call_id,
            outcome: record.outcome,
            result: record.result,
            stdout: record.stdout,
            images: record.images,
            signature: record.signature,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::super::{of_steps, steps};
    use super::*;

    fn media(kind: MediaKind, source: Source) -> Content {
        Content::Media(Media { kind, mime_type: Some("image/png".into()), source })
    }

    fn result(outcome: Outcome) -> Step {
        Step::CodeResult(CodeResult {
            call_id: "c".into(),
            outcome,
            result: "42\nTimeoutError".into(),
            stdout: "42\n".into(),
            images: 2,
            signature: "c2ln".into(),
        })
    }

    #[test]
    fn every_step_is_read_as_it_was_written() {
        let annotations = vec![json!({"type": "url_citation", "url": "u"})];
        let every = vec![
            Step::UserInput(vec![
                Content::text("Look."),
                Content::Text {
                    text: "cited".into(),
                    annotations,
                    citations: vec![Citation {
                        source: CitedSource {
                            title: "t".into(),
                            url: "u".into(),
                            kind: SourceKind::Place("p".into()),
                        },
                        range: 0..5,
                    }],
                },
                media(MediaKind::Image, Source::Inline(Bytes::from_static(b"png"))),
                media(MediaKind::Audio, Source::Inline(Bytes::from_static(b"png"))),
                media(MediaKind::Video, Source::Uri("gs://x".into())),
                media(MediaKind::Document, Source::Inline(Bytes::new())),
                Content::Passthrough(json!({"type": "smell", "notes": [1, 2]})),
            ]),
            Step::Thought { summary: "Hm.".into(), signature: "c2ln".into() },
            Step::ModelOutput(vec![Content::text("42")]),
            Step::CodeCall(CodeCall {
                id: "c".into(),
                code: "print(42)".into(),
                signature: String::new(),
            }),
            result(Outcome::Ok),
            result(Outcome::Failed),
            result(Outcome::DeadlineExceeded),
            Step::FunctionCall(FunctionCall {
                id: "f".into(),
                name: "weather".into(),
                arguments: json!({"city": "Zürich"}),
                signature: "s".into(),
            }),
            Step::FunctionResult(FunctionResult {
                call_id: "f".into(),
                name: None,
                result: json!("rain"),
                is_error: true,
            }),
            Step::SearchCall(SearchCall {
                id: "g".into(),
                queries: vec!["q".into()],
                signature: "s".into(),
            }),
            Step::SearchResult(SearchResult {
                call_id: "g".into(),
                found: vec![Found { title: "t".into(), url: "u".into(), snippet: "s".into() }],
                suggestions: Some("<a>".into()),
                is_error: true,
                signature: "s".into(),
            }),
            Step::Passthrough(json!({"type": "tool_call", "id": "x"})),
        ];
        let mut blobs = Blobs::default();
        let json = of_steps(&every, &mut blobs);
        assert_eq!(blobs.addresses().len(), 2, "the same bytes are kept once");
        assert_eq!(steps(&json, &blobs).expect("we wrote it"), every);
    }

    #[test]
    fn a_missing_blob_is_an_error_and_not_an_empty_picture() {
        let picture = media(MediaKind::Image, Source::Inline(Bytes::from_static(b"png")));
        let json = of_steps(&[Step::ModelOutput(vec![picture])], &mut Blobs::default());
        let error = steps(&json, &Blobs::default()).expect_err("there is no blob");
        assert!(matches!(error, RecordError::Blob(_)), "{error}");
    }
}
