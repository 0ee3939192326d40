//! Answers under a quirk: what the server really answered, in the form that its issue describes.
//!
//! ```text
//!   answer ──▶ whole: JSON ────▶ generate · interactions ──▶ JSON
//!          └─▶ stream: pieces ─▶        the same         ──▶ pieces
//! ```
//!
//! Only good answers are changed, and only those of the API that a quirk was seen in.

mod generate;
mod interactions;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::fault::Fault;
use crate::interaction::{Failure, FailureKind, Reason};
use crate::quirk::{Quirk, Where};

/// Limit of an answer that is changed as a whole.
const MAX_WHOLE_BYTES: usize = 256 << 20;

/// The faults that a scenario wants for its answer. Stands in the extensions of the response.
#[derive(Debug, Clone, Default)]
pub struct Wanted(pub Vec<Fault>);

/// What may be wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    Quirk(Quirk),
    /// The model stops for this reason, and has said nothing.
    Stopped(Reason),
    /// What it says is cut short by the limit on its output.
    MaxTokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    Generate,
    Interactions,
}

impl Api {
    /// By the path of a request; none for those that ask no model.
    pub fn of(method: &axum::http::Method, path: &str) -> Option<Api> {
        let asks = method == axum::http::Method::POST;
        if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
            asks.then_some(Api::Generate)
        } else {
            (asks && path.ends_with("/interactions")).then_some(Api::Interactions)
        }
    }
}

impl Oddity {
    /// Whether it is about this answer.
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

/// Whether an answer is good, and a stream: of events, or one list.
pub fn is_stream(path: &str, response: &Response) -> Option<bool> {
    if response.status() != StatusCode::OK {
        return None;
    }
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    Some(kind.starts_with(b"text/event-stream") || path.ends_with(":streamGenerateContent"))
}

/// The answer with its oddity.
pub async fn apply(oddity: Oddity, api: Api, response: Response) -> Response {
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
    let whole = match axum::body::to_bytes(body, MAX_WHOLE_BYTES).await {
        Ok(whole) => whole,
        // It is cut as it would have been.
        Err(error) => {
            let cut = futures_util::stream::once(async { Err::<Bytes, _>(error) });
            return Response::from_parts(parts, Body::from_stream(cut));
        }
    };
    let Ok(answer) = serde_json::from_slice::<Value>(&whole) else {
        return Response::from_parts(parts, whole.into());
    };
    let odd = match (api, answer) {
        (Api::Generate, Value::Array(chunks)) => Ok(generate::list(oddity, chunks)),
        (Api::Generate, answer) => Ok(generate::whole(oddity, answer)),
        (Api::Interactions, answer) => interactions::whole(oddity, answer),
    };
    match odd {
        Ok(json) => Response::from_parts(parts, json.to_string().into()),
        Err(error) => error.into_response(),
    }
}

/// The JSON of a piece of a stream, and of what kind it is: `event: …`, or nothing.
fn data_of(piece: &Bytes) -> Option<(&str, Value)> {
    let text = std::str::from_utf8(piece).ok()?;
    let (name, data) = match text.split_once("data: ")? {
        ("", data) => ("", data),
        (before, data) => (before.strip_prefix("event: ")?.trim_end(), data),
    };
    Some((name, serde_json::from_str(data.trim_end()).ok()?))
}

/// What the model's stop is to a client of interactions.
fn stopped(reason: Reason) -> Failure {
    let why = format!("The model stopped without an answer: {}.", reason.word());
    Failure::new(FailureKind::Stopped(reason), why)
}

/// Pieces one after the other, each made into what comes in its place.
fn changed(
    body: Body,
    mut change: impl FnMut(Option<Bytes>) -> Change + Send + 'static,
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
            let Change { pieces, is_over } = change(piece);
            for piece in pieces {
                yield Ok(piece.into());
            }
            if is_end || is_over {
                return;
            }
        }
    }
}

/// What comes in the place of a piece, or at the end.
#[derive(Debug, Default)]
struct Change {
    pieces: Vec<String>,
    /// Nothing comes after it.
    is_over: bool,
}
