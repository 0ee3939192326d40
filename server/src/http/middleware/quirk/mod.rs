//! Applies quirks: changes real responses into the form that the quirk's issue describes.
//!
//! ```text
//!   answer ──▶ whole: JSON ────▶ generate · interactions ──▶ JSON
//!          └─▶ stream: pieces ─▶        the same         ──▶ pieces
//! ```
//!
//! Only successful responses are changed, and only those of the API in which the quirk was seen.

mod generate;
mod interactions;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::http::error::ApiError;
use crate::http::extract::body::blocking;
use crate::http::response::pieces;
use domain::chaos::fault::Fault;
use domain::chaos::quirk::{Quirk, Where};
use domain::interaction::{Failure, FailureKind, Reason};
use resources::budget::{Budget, Share};

/// Maximum size of a response that is changed as a whole.
const MAX_WHOLE_BYTES: usize = 64 << 20;
/// Copies of it in memory while it is changed: as text, as JSON, and as the new text.
const COPIES: usize = 4;
/// Step in which memory is reserved for them.
const STEP_BYTES: usize = 256 << 10;

/// The faults that a scenario requests for its response. An extension of the response.
#[derive(Debug, Clone, Default)]
pub struct Wanted(pub Vec<Fault>);

/// A change of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    Quirk(Quirk),
    /// The model stops for this reason, without output.
    Stopped(Reason),
    /// The output limit cuts the model's output.
    MaxTokens,
}

/// The API in which a model answered. Handlers that call a model set it as an extension of the
/// response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Generate,
    Interactions,
}

/// Marks a stream of list elements, which has the content type of JSON. An extension of the
/// response.
#[derive(Debug, Clone, Copy)]
pub struct ListStream;

impl Oddity {
    /// Whether the change applies to this response.
    pub fn concerns(self, api: Api, is_stream: bool) -> bool {
        match self {
            Oddity::Stopped(_) | Oddity::MaxTokens => true,
            Oddity::Quirk(quirk) => match quirk.about().place {
                Where::Generate => api == Api::Generate,
                Where::GenerateStream => api == Api::Generate && is_stream,
                Where::Interactions => api == Api::Interactions,
                Where::InteractionsStream => api == Api::Interactions && is_stream,
            },
        }
    }
}

/// Whether a successful response is a stream, of events or of list elements. `None` for a failed
/// response.
pub fn is_stream(response: &Response) -> Option<bool> {
    if response.status() != StatusCode::OK {
        return None;
    }
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let is_list = response.extensions().get::<ListStream>().is_some();
    Some(is_list || kind.starts_with(b"text/event-stream"))
}

/// Applies the change. A whole response is changed in memory of the budget.
pub async fn apply(oddity: Oddity, api: Api, response: Response, budget: &Budget) -> Response {
    let (mut parts, body) = response.into_parts();
    let kind = parts.headers.get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    if kind.starts_with(b"text/event-stream") {
        let body = match api {
            Api::Generate => Body::from_stream(generate::events(oddity, body)),
            Api::Interactions => Body::from_stream(interactions::events(oddity, body)),
        };
        return Response::from_parts(parts, body);
    }
    parts.headers.remove(CONTENT_LENGTH);
    let (whole, mut memory) = match collect(body, budget).await {
        Ok(collected) => collected,
        Err(Uncollected::NoMemory) => return ApiError::no_memory().into_response(),
        // The error that an unchanged response would have had.
        Err(Uncollected::Broken(error)) => {
            let cut = futures_util::stream::once(async { Err::<Bytes, _>(error) });
            return Response::from_parts(parts, Body::from_stream(cut));
        }
    };
    let changed = blocking(move || {
        let Ok(answer) = serde_json::from_slice::<Value>(&whole) else { return Ok(whole.into()) };
        let odd = match (api, answer) {
            (Api::Generate, Value::Array(chunks)) => Ok(generate::list(oddity, chunks)),
            (Api::Generate, answer) => Ok(generate::whole(oddity, answer)),
            (Api::Interactions, answer) => interactions::whole(oddity, answer),
        };
        odd.map(|json| Bytes::from(json.to_string()))
    });
    match changed.await {
        Ok(text) => {
            memory.reduce_to(text.len());
            Response::from_parts(parts, pieces::body(text, memory))
        }
        Err(error) => error.into_response(),
    }
}

enum Uncollected {
    NoMemory,
    Broken(axum::Error),
}

async fn collect(body: Body, budget: &Budget) -> Result<(Vec<u8>, Share), Uncollected> {
    let (mut whole, mut memory) = (Vec::new(), Share::default());
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(Uncollected::Broken)?;
        let bytes = whole.len() + piece.len();
        if bytes > MAX_WHOLE_BYTES {
            let why = "the response is too large to change";
            return Err(Uncollected::Broken(axum::Error::new(std::io::Error::other(why))));
        }
        let missing = (COPIES * bytes).saturating_sub(memory.bytes());
        if missing > 0 {
            let more = budget.take(missing.max(STEP_BYTES));
            memory.add(more.ok_or(Uncollected::NoMemory)?);
        }
        whole.extend_from_slice(&piece);
    }
    Ok((whole, memory))
}

/// The JSON of an item of a stream and its `event: …` line, if any.
fn data_of(piece: &Bytes) -> Option<(&str, Value)> {
    let text = std::str::from_utf8(piece).ok()?;
    let (name, data) = match text.split_once("data: ")? {
        ("", data) => ("", data),
        (before, data) => (before.strip_prefix("event: ")?.trim_end(), data),
    };
    Some((name, serde_json::from_str(data.trim_end()).ok()?))
}

/// The failure that a client of the interactions API gets when the model stops.
fn stopped(reason: Reason) -> Failure {
    let why = format!("The model stopped without an answer: {}.", reason.as_str());
    Failure::new(FailureKind::Stopped(reason), why)
}

/// Replaces each item of a stream.
fn changed(
    body: Body,
    mut change: impl FnMut(Option<Bytes>) -> Replacement + Send + 'static,
) -> impl futures_util::Stream<Item = Result<Bytes, axum::Error>> {
    let mut pieces = body.into_data_stream();
    async_stream::stream! {
        loop {
            let piece = match pieces.next().await.transpose() {
                Ok(piece) => piece,
                Err(error) => {
                    yield Err(error);
                    return;
                }
            };
            let is_end = piece.is_none();
            let Replacement { pieces, is_over } = change(piece);
            for piece in pieces {
                yield Ok(piece.into());
            }
            if is_end || is_over {
                return;
            }
        }
    }
}

/// The replacement of an item or of the end.
#[derive(Debug, Default)]
struct Replacement {
    pieces: Vec<String>,
    /// Ends the stream.
    is_over: bool,
}
