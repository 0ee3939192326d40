//! Events on the disk.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::step::{CitationRecord, CodeResultRecord, FoundRecord, MediaRecord};
use super::{Blobs, RecordError};
use domain::interaction::{
    Delta, Event, Failure, FailureKind, InteractionSettings, Modality, SearchResult, ServiceTier,
    Status, StepStart, Summaries, Tokens, Usage,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventRecord {
    /// Written by older servers, without the data of [`Record::Begun`].
    Created,
    StepStarted {
        index: usize,
        shell: ShellRecord,
    },
    StepDelta {
        index: usize,
        delta: DeltaRecord,
    },
    StepStopped {
        index: usize,
    },
    CountedElsewhere(Value),
    Finished {
        status: Status,
        usage: UsageRecord,
    },
    Failed {
        kind: FailureKind,
        message: String,
    },
    Begun {
        tier: ServiceTier,
        prompt: Option<TokensRecord>,
        /// Absent in records of older servers, which showed all summaries.
        #[serde(default)]
        hides_summaries: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShellRecord {
    Thought,
    ModelOutput,
    CodeCall {
        id: String,
    },
    CodeResult {
        call_id: String,
    },
    SearchCall {
        id: String,
    },
    SearchResult {
        call_id: String,
    },
    FunctionCall {
        id: String,
        name: String,
        signature: String,
    },
    Tool(Value),
    #[serde(rename = "foreign")]
    Passthrough(Value),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeltaRecord {
    ThoughtSummary(String),
    ThoughtSignature(String),
    Text(String),
    Media(MediaRecord),
    CodeCall {
        code: String,
        signature: String,
    },
    CodeResult(CodeResultRecord),
    SearchCall {
        queries: Vec<String>,
        signature: String,
    },
    SearchResult {
        #[serde(default)]
        call_id: String,
        found: Vec<FoundRecord>,
        #[serde(default)]
        suggestions: Option<String>,
        #[serde(default)]
        is_error: bool,
        signature: String,
    },
    Citations(Vec<CitationRecord>),
    FunctionArguments(String),
    Foreign(Value),
}

/// Each number counts the tokens of all modalities; text is the rest after the others.
#[derive(Debug, Serialize, Deserialize)]
pub struct UsageRecord {
    input: u64,
    output: u64,
    thought: u64,
    tool_use: u64,
    cached: u64,
    #[serde(default)]
    searches: u64,
    /// Absent if there is only text, and in records of older servers.
    #[serde(default, skip_serializing_if = "MediaTokens::are_none")]
    input_media: MediaTokens,
    #[serde(default, skip_serializing_if = "MediaTokens::are_none")]
    output_media: MediaTokens,
    #[serde(default, skip_serializing_if = "MediaTokens::are_none")]
    tool_use_media: MediaTokens,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct TokensRecord {
    total: u64,
    #[serde(default, skip_serializing_if = "MediaTokens::are_none")]
    media: MediaTokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct MediaTokens {
    image: u64,
    audio: u64,
    video: u64,
    document: u64,
}

impl MediaTokens {
    fn are_none(&self) -> bool {
        *self == MediaTokens::default()
    }

    fn of(tokens: Tokens) -> MediaTokens {
        MediaTokens {
            image: tokens.count(Modality::Image),
            audio: tokens.count(Modality::Audio),
            video: tokens.count(Modality::Video),
            document: tokens.count(Modality::Document),
        }
    }

    fn with_text(self, total: u64) -> Tokens {
        let media: Tokens = [
            (Modality::Image, self.image),
            (Modality::Audio, self.audio),
            (Modality::Video, self.video),
            (Modality::Document, self.document),
        ]
        .into_iter()
        .map(|(modality, count)| Tokens::new(modality, count))
        .sum();
        let mut tokens = Tokens::text(total.saturating_sub(media.total()));
        tokens += media;
        tokens
    }
}

impl EventRecord {
    pub fn of(event: &Event, blobs: &mut Blobs) -> EventRecord {
        match event.clone() {
            Event::Created(InteractionSettings { tier, prompt, summaries }) => EventRecord::Begun {
                tier,
                prompt: prompt.map(Into::into),
                hides_summaries: summaries == Summaries::Hidden,
            },
            Event::StepStarted { index, start } => {
                EventRecord::StepStarted { index, shell: start.into() }
            }
            Event::StepDelta { index, delta } => {
                EventRecord::StepDelta { index, delta: DeltaRecord::of(delta, blobs) }
            }
            Event::StepStopped { index } => EventRecord::StepStopped { index },
            Event::UpstreamUsage(usage) => EventRecord::CountedElsewhere(usage),
            Event::Finished { status, usage } => {
                EventRecord::Finished { status, usage: usage.into() }
            }
            // How the failure was delivered concerns only the client of the request.
            Event::Failed(Failure { kind, message, .. }) => EventRecord::Failed { kind, message },
        }
    }

    pub fn event(self, blobs: &Blobs) -> Result<Event, RecordError> {
        Ok(match self {
            EventRecord::Created => Event::Created(InteractionSettings::default()),
            EventRecord::Begun { tier, prompt, hides_summaries } => {
                Event::Created(InteractionSettings {
                    tier,
                    prompt: prompt.map(Into::into),
                    summaries: if hides_summaries { Summaries::Hidden } else { Summaries::Shown },
                })
            }
            EventRecord::StepStarted { index, shell } => {
                Event::StepStarted { index, start: shell.into() }
            }
            EventRecord::StepDelta { index, delta } => {
                Event::StepDelta { index, delta: delta.delta(blobs)? }
            }
            EventRecord::StepStopped { index } => Event::StepStopped { index },
            EventRecord::CountedElsewhere(usage) => Event::UpstreamUsage(usage),
            EventRecord::Finished { status, usage } => {
                Event::Finished { status, usage: usage.into() }
            }
            EventRecord::Failed { kind, message } => Event::Failed(Failure::new(kind, message)),
        })
    }
}

impl DeltaRecord {
    fn of(delta: Delta, blobs: &mut Blobs) -> DeltaRecord {
        match delta {
            Delta::ThoughtSummary(text) => DeltaRecord::ThoughtSummary(text),
            Delta::ThoughtSignature(signature) => DeltaRecord::ThoughtSignature(signature),
            Delta::Text(text) => DeltaRecord::Text(text),
            Delta::Media(media) => DeltaRecord::Media(MediaRecord::of(media, blobs)),
            Delta::CodeCall { code, signature } => DeltaRecord::CodeCall { code, signature },
            Delta::CodeResult(result) => DeltaRecord::CodeResult(result.into()),
            Delta::SearchCall { queries, signature } => {
                DeltaRecord::SearchCall { queries, signature }
            }
            Delta::SearchResult(SearchResult {
                call_id,
                found,
                suggestions,
                is_error,
                signature,
            }) => {
                let found = found.into_iter().map(Into::into).collect();
                DeltaRecord::SearchResult { call_id, found, suggestions, is_error, signature }
            }
            Delta::Citations(citations) => {
                DeltaRecord::Citations(citations.into_iter().map(Into::into).collect())
            }
            Delta::FunctionArguments(json) => DeltaRecord::FunctionArguments(json),
            Delta::Passthrough(delta) => DeltaRecord::Foreign(delta),
        }
    }

    fn delta(self, blobs: &Blobs) -> Result<Delta, RecordError> {
        Ok(match self {
            DeltaRecord::ThoughtSummary(text) => Delta::ThoughtSummary(text),
            DeltaRecord::ThoughtSignature(signature) => Delta::ThoughtSignature(signature),
            DeltaRecord::Text(text) => Delta::Text(text),
            DeltaRecord::Media(media) => Delta::Media(media.media(blobs)?),
            DeltaRecord::CodeCall { code, signature } => Delta::CodeCall { code, signature },
            DeltaRecord::CodeResult(result) => Delta::CodeResult(result.into()),
            DeltaRecord::SearchCall { queries, signature } => {
                Delta::SearchCall { queries, signature }
            }
            DeltaRecord::SearchResult { call_id, found, suggestions, is_error, signature } => {
                let found = found.into_iter().map(Into::into).collect();
                let result = SearchResult { call_id, found, suggestions, is_error, signature };
                Delta::SearchResult(result)
            }
            DeltaRecord::Citations(citations) => {
                Delta::Citations(citations.into_iter().map(Into::into).collect())
            }
            DeltaRecord::FunctionArguments(json) => Delta::FunctionArguments(json),
            DeltaRecord::Foreign(delta) => Delta::Passthrough(delta),
        })
    }
}

/// Implements the conversions in both directions from one list of names.
macro_rules! same_names {
    ($ours:ident, $record:ident, $($variant:ident $({ $($field:ident),* })? $(($only:ident))?),*) => {
        impl From<$ours> for $record {
            #[allow(clippy::useless_conversion, reason = "not for every kind")]
            fn from(value: $ours) -> $record {
                match value {
                    $($ours::$variant $({ $($field),* })? $(($only))? =>
                        $record::$variant $({ $($field),* })? $(($only.into()))?,)*
                }
            }
        }

        impl From<$record> for $ours {
            #[allow(clippy::useless_conversion, reason = "not for every kind")]
            fn from(value: $record) -> $ours {
                match value {
                    $($record::$variant $({ $($field),* })? $(($only))? =>
                        $ours::$variant $({ $($field),* })? $(($only.into()))?,)*
                }
            }
        }
    };
}

same_names!(
    StepStart,
    ShellRecord,
    Thought,
    ModelOutput,
    CodeCall { id },
    CodeResult { call_id },
    SearchCall { id },
    SearchResult { call_id },
    FunctionCall { id, name, signature },
    Tool(step),
    Passthrough(step)
);

impl From<Usage> for UsageRecord {
    fn from(usage: Usage) -> UsageRecord {
        UsageRecord {
            input: usage.input.total(),
            output: usage.output.total(),
            thought: usage.thought,
            tool_use: usage.tool_use.total(),
            cached: usage.cached,
            input_media: MediaTokens::of(usage.input),
            output_media: MediaTokens::of(usage.output),
            tool_use_media: MediaTokens::of(usage.tool_use),
            searches: usage.searches,
        }
    }
}

impl From<UsageRecord> for Usage {
    fn from(record: UsageRecord) -> Usage {
        Usage {
            input: record.input_media.with_text(record.input),
            output: record.output_media.with_text(record.output),
            thought: record.thought,
            tool_use: record.tool_use_media.with_text(record.tool_use),
            cached: record.cached,
            searches: record.searches,
        }
    }
}

impl From<Tokens> for TokensRecord {
    fn from(tokens: Tokens) -> TokensRecord {
        TokensRecord { total: tokens.total(), media: MediaTokens::of(tokens) }
    }
}

impl From<TokensRecord> for Tokens {
    fn from(record: TokensRecord) -> Tokens {
        record.media.with_text(record.total)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use strum::IntoEnumIterator as _;

    use super::super::{events, of_events};
    use super::*;
    use domain::interaction::{
        Citation, CodeResult, Found, Media, MediaKind, Outcome, Reason, Source,
    };

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let starts = [
            StepStart::Thought,
            StepStart::ModelOutput,
            StepStart::CodeCall { id: "c".into() },
            StepStart::CodeResult { call_id: "c".into() },
            StepStart::SearchCall { id: "g".into() },
            StepStart::SearchResult { call_id: "g".into() },
            StepStart::FunctionCall { id: "f".into(), name: "n".into(), signature: "s".into() },
            StepStart::Tool(json!({"type": "url_context_call"})),
            StepStart::Passthrough(json!({"type": "google_search_call"})),
        ];
        let deltas = [
            Delta::ThoughtSummary("Hm".into()),
            Delta::ThoughtSignature("c2ln".into()),
            Delta::Text("Ä\u{0}\n".into()),
            Delta::Media(Media {
                kind: MediaKind::Image,
                mime_type: None,
                source: Source::Inline(Bytes::from_static(b"png")),
            }),
            Delta::CodeCall { code: "print()".into(), signature: "s".into() },
            Delta::CodeResult(CodeResult {
                call_id: "c".into(),
                outcome: Outcome::DeadlineExceeded,
                result: "r".into(),
                stdout: String::new(),
                images: 0,
                signature: "s".into(),
            }),
            Delta::SearchCall { queries: vec!["q".into()], signature: "s".into() },
            Delta::SearchResult(SearchResult {
                call_id: "g".into(),
                found: vec![Found { title: "t".into(), url: "u".into(), snippet: "s".into() }],
                suggestions: Some("<a>".into()),
                is_error: true,
                signature: "s".into(),
            }),
            Delta::Citations(vec![Citation {
                source: Found { title: "t".into(), url: "u".into(), ..Found::default() }.source(),
                range: 1..7,
            }]),
            Delta::FunctionArguments("{\"a\":".into()),
            Delta::Passthrough(json!({"type": "from_the_future", "x": [1]})),
        ];
        let statuses = Status::iter();
        let kinds = [
            FailureKind::InvalidRequest,
            FailureKind::Unauthenticated,
            FailureKind::PermissionDenied,
            FailureKind::NotFound,
            FailureKind::Aborted,
            FailureKind::RequestTimeout,
            FailureKind::ClientClosed,
            FailureKind::BadGateway,
            FailureKind::TooLarge,
            FailureKind::Unavailable,
            FailureKind::ResourceExhausted,
            FailureKind::DeadlineExceeded,
            FailureKind::Unimplemented,
            FailureKind::Internal,
        ];
        let reasons = Reason::iter().map(FailureKind::Stopped);
        let mut media = Tokens::text(1);
        Modality::iter().for_each(|modality| media += Tokens::new(modality, 10));
        let text = Tokens::text(4);
        let (input, output) = (Tokens::new(Modality::Video, 2), media);
        let (thought, tool_use, searches) = (3, text, 6);
        let usage = Usage { input, output, thought, tool_use, cached: u64::MAX, searches };
        let settings = ServiceTier::iter().map(|tier| {
            Event::Created(InteractionSettings { tier, ..InteractionSettings::default() })
        });
        let hidden =
            InteractionSettings { summaries: Summaries::Hidden, ..InteractionSettings::default() };
        let prompt = InteractionSettings { prompt: Some(media), ..InteractionSettings::default() };
        let counted = Event::UpstreamUsage(json!({"total_tokens": 7}));
        let created = [prompt, hidden].map(Event::Created);
        let wanted = [Event::StepStopped { index: 7 }, counted]
            .into_iter()
            .chain(created)
            .chain(settings)
            .chain(starts.map(|start| Event::StepStarted { index: 1, start }))
            .chain(deltas.map(|delta| Event::StepDelta { index: 2, delta }))
            .chain(statuses.map(|status| Event::Finished { status, usage }))
            .chain(
                kinds.into_iter().chain(reasons).map(|kind| Event::Failed(Failure::new(kind, "m"))),
            );
        let wanted: Vec<Event> = wanted.collect();
        let mut blobs = Blobs::default();
        let json = of_events(wanted.iter(), &mut blobs);
        assert_eq!(events(&json, &blobs).expect("we wrote it"), wanted, "{json}");
    }

    /// Databases contain these names: a variant may get another name in Rust, but not here.
    #[test]
    fn names_in_the_database_are_fixed() {
        let stored = |value: Value| value.to_string();
        assert_eq!(stored(json!(Status::RequiresAction)), r#""requires_action""#);
        assert_eq!(stored(json!(ServiceTier::Flex)), r#""flex""#);
        assert_eq!(stored(json!(MediaKind::Document)), r#""document""#);
        assert_eq!(stored(json!(Outcome::DeadlineExceeded)), r#""deadline_exceeded""#);
        let reason = FailureKind::Stopped(Reason::MalformedFunctionCall);
        assert_eq!(stored(json!(reason)), r#"{"stopped":"malformed_function_call"}"#);
        assert_eq!(stored(json!(FailureKind::ResourceExhausted)), r#""resource_exhausted""#);
    }

    #[test]
    fn a_row_with_a_single_event_of_an_older_server_is_read() {
        for (json, wanted) in [
            (r#""created""#, Event::Created(InteractionSettings::default())),
            (r#"{"step_stopped":{"index":7}}"#, Event::StepStopped { index: 7 }),
        ] {
            assert_eq!(events(json, &Blobs::default()).expect("it is valid"), [wanted]);
        }
    }

    #[test]
    fn records_of_older_servers_are_read() {
        let blobs = Blobs::default();
        let read = |json: &str| events(json, &blobs).expect("it is valid");
        let finished = r#"{"finished": {"status": "completed", "usage":
            {"input": 1, "output": 2, "thought": 3, "tool_use": 4, "cached": 5}}}"#;
        let usage = Usage {
            input: Tokens::text(1),
            output: Tokens::text(2),
            thought: 3,
            tool_use: Tokens::text(4),
            cached: 5,
            searches: 0,
        };
        assert_eq!(read(finished), [Event::Finished { status: Status::Completed, usage }]);
        let begun = r#"{"begun": {"tier": "flex", "prompt": null}}"#;
        let settings =
            InteractionSettings { tier: ServiceTier::Flex, ..InteractionSettings::default() };
        assert_eq!(read(begun), [Event::Created(settings)]);
    }
}
