//! Streams an answer as server-sent events, or as the elements of one JSON list.
//!
//! The SDKs' parsers accept only `data:` lines here: no names, no comments, no `[DONE]`. A late
//! error is a separate object outside of the events.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::answer::{About, AnswerEnd, PartEncoder, answer, join};
use super::grounding::Grounding;
use super::usage::{usage, usage_so_far};
use crate::engine::Running;
use crate::http::JSON;
use crate::http::error::{self, ApiError};
use crate::http::middleware::deadline::Deadline;
use domain::interaction::{Event, Failure, FailureDelivery, UsageEstimate};

/// How chunks are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    ServerSentEvents,
    List,
}

/// Streams an answer. If the client disconnects, the interaction is cancelled.
pub fn stream(
    running: Running,
    about: About,
    thoughts: bool,
    framing: Framing,
    deadline: Deadline,
) -> Response {
    let log = Arc::clone(running.log());
    let mut follower = log.follow(0);
    let pieces = async_stream::stream! {
        let _running = running;
        let mut parts = PartEncoder::new(thoughts).showing_tools(about.invocations);
        let mut grounding = Grounding::default();
        let mut frames = Frames { framing, begun: false };
        let mut held = None;
        let mut tally = UsageEstimate::default();
        let mut ended = None;
        loop {
            let entry = match deadline.hold(follower.next()).await {
                Ok(Some((_, entry))) => entry,
                Ok(None) => break,
                Err(late) => {
                    ended = Some(Err(late));
                    break;
                }
            };
            if let Event::Failed(Failure { delivery: FailureDelivery::ConnectionDrop, .. }) = entry.event {
                yield Err(error::disconnected().await);
                return;
            }
            tally.add(&entry.event);
            let part = parts.of(&entry.event);
            grounding.add(&entry.event, part.as_ref());
            if let Some(part) = part {
                // A function call is held back until it is known whether the answer ends with it.
                let is_call = part.get("functionCall").is_some();
                let due = if is_call { held.replace(part) } else { Some(part) };
                for part in held.take_if(|_| !is_call).into_iter().chain(due) {
                    let used = tally.so_far().map(|used| usage_so_far(&about, &used));
                    yield Ok(frames.piece(&answer(&about, vec![part], used, None, grounding.news())));
                }
            }
            ended = AnswerEnd::of(&entry.event);
            if ended.is_some() {
                break;
            }
        }
        yield Ok(match ended.unwrap_or_else(|| Err(ApiError::broken_off(&log))) {
            Ok(end) => {
                let used = end.usage.map(|used| usage(&about, &used));
                let last = join(held.into_iter().chain(parts.last()));
                frames.piece(&answer(&about, last, used, Some(end), grounding.end()))
            }
            Err(error) => frames.error(&error.google_style()),
        });
        if let Some(end) = frames.end() {
            yield Ok(end.to_owned());
        }
    };
    let kind = match framing {
        Framing::ServerSentEvents => "text/event-stream",
        Framing::List => JSON,
    };
    let headers = [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, "attachment")];
    (headers, Body::from_stream(pieces)).into_response()
}

#[derive(Debug)]
struct Frames {
    framing: Framing,
    begun: bool,
}

impl Frames {
    fn piece(&mut self, answer: &Value) -> String {
        match self.framing {
            Framing::ServerSentEvents => format!("data: {answer}\r\n\r\n"),
            Framing::List => self.element(answer),
        }
    }

    fn error(&mut self, envelope: &Value) -> String {
        match self.framing {
            Framing::ServerSentEvents => format!("{envelope}\r\n\r\n"),
            Framing::List => self.element(envelope),
        }
    }

    fn element(&mut self, json: &Value) -> String {
        let before = if std::mem::replace(&mut self.begun, true) { ",\r\n" } else { "[" };
        format!("{before}{json}")
    }

    fn end(&self) -> Option<&'static str> {
        match self.framing {
            Framing::ServerSentEvents => None,
            // Without a final line break, which google-api-core does not accept.
            Framing::List if self.begun => Some("]"),
            Framing::List => Some("[]"),
        }
    }
}
