//! Streams completions as server-sent events without names. The last one is `[DONE]`.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream::select_all;
use futures_util::{Stream, StreamExt as _};
use serde_json::{Map, Value};

use super::answer::{CompletionHead, DeltaEncoder, chunk, finish_reason, usage, usage_chunk};
use crate::engine::Running;
use crate::http::error::{self, ApiError};
use crate::http::generate_content::answer::{AnswerEnd, PartEncoder};
use crate::http::middleware::deadline::Deadline;
use domain::interaction::{Event, Failure, FailureDelivery, Usage};

/// A step of one choice's stream.
enum ChoiceEvent {
    Chunk(Value),
    /// The last step, with the usage if the model has answered.
    Ended(Option<Usage>),
    Failed(ApiError),
    /// A scenario requests that the connection closes.
    Dropped,
}

/// What the client requests of a stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    pub usage: bool,
    pub thoughts: bool,
    /// Tokens of the prompt that came from a cached content.
    pub cached: u64,
}

/// Streams the choices side by side. If the client disconnects, their interactions are cancelled.
pub fn stream(
    choices: Vec<Running>,
    head: CompletionHead,
    options: StreamOptions,
    deadline: Deadline,
) -> Response {
    let choices = choices.into_iter().enumerate();
    let events = choices
        .map(|(index, running)| choice(index, running, head.clone(), options.thoughts, deadline));
    let mut events = select_all(events);
    let pieces = async_stream::stream! {
        let mut used = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                ChoiceEvent::Chunk(chunk) => yield Ok(frame(&chunk)),
                ChoiceEvent::Ended(usage) => used.extend(usage),
                ChoiceEvent::Failed(error) => {
                    // An object, not the list of other errors: the SDKs look for its `error`.
                    yield Ok(frame(&error.google_style()));
                    return;
                }
                ChoiceEvent::Dropped => {
                    yield Err(error::disconnected().await);
                    return;
                }
            }
        }
        if options.usage {
            yield Ok(frame(&usage_chunk(&head, usage(&used, options.cached))));
        }
        yield Ok("data: [DONE]\n\n".to_owned());
    };
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response()
}

fn frame(json: &Value) -> String {
    format!("data: {json}\n\n")
}

/// Follows the answer of one choice.
fn choice(
    index: usize,
    running: Running,
    head: CompletionHead,
    thoughts: bool,
    deadline: Deadline,
) -> Pin<Box<dyn Stream<Item = ChoiceEvent> + Send>> {
    let log = Arc::clone(running.log());
    let mut follower = log.follow(0);
    Box::pin(async_stream::stream! {
        let _running = running;
        let mut parts = PartEncoder::new(thoughts);
        let mut deltas = DeltaEncoder::default();
        let mut role = Some("assistant");
        let mut has_calls = false;
        let mut with_role = |mut delta: Map<String, Value>| {
            // Once: Python's SDK appends texts of the same name.
            delta.extend(role.take().map(|role| ("role".to_owned(), role.into())));
            delta
        };
        let ended = loop {
            let entry = match deadline.hold(follower.next()).await {
                Ok(Some((_, entry))) => entry,
                Ok(None) => break Err(ApiError::broken_off(&log)),
                Err(late) => break Err(late),
            };
            if let Event::Failed(Failure { delivery: FailureDelivery::ConnectionDrop, .. }) = entry.event {
                yield ChoiceEvent::Dropped;
                return;
            }
            if let Some(delta) = parts.of(&entry.event).and_then(|part| deltas.of(&part)) {
                has_calls |= delta.contains_key("tool_calls");
                yield ChoiceEvent::Chunk(chunk(&head, index, with_role(delta), None));
            }
            if let Some(ended) = AnswerEnd::of(&entry.event) {
                break ended;
            }
        };
        match ended {
            Ok(end) => {
                let delta = with_role(deltas.end().unwrap_or_default());
                let reason = finish_reason(end, has_calls);
                yield ChoiceEvent::Chunk(chunk(&head, index, delta, Some(reason)));
                yield ChoiceEvent::Ended(end.usage);
            }
            Err(error) => yield ChoiceEvent::Failed(error),
        }
    })
}
