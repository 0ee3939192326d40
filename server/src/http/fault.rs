//! Faults that were ordered: `x-belljar-fault` for one request, the configuration for all.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};

use super::error::{self, ApiError};
use super::namespace::InNamespace;
use crate::fault::{Counters, Damage, Fault};
use crate::namespace::Namespace;

/// A fault as JSON.
const HEADER: &str = "x-belljar-fault";

/// The faults that are ordered for everybody, and how often each has happened.
#[derive(Debug, Default)]
pub struct Faults {
    everywhere: Vec<Fault>,
    counters: Counters,
}

impl Faults {
    pub fn new(everywhere: Vec<Fault>) -> Faults {
        Faults { everywhere, counters: Counters::default() }
    }

    pub fn clear(&self, namespace: &Namespace) {
        self.counters.clear(namespace);
    }

    /// Those that happen to this request now: first its own one, then those of the configuration.
    fn of(&self, namespace: &Namespace, request: &Request) -> Result<Vec<Fault>, ApiError> {
        let mut faults = Vec::new();
        if let Some(header) = request.headers().get(HEADER) {
            let fault = serde_json::from_slice(header.as_bytes()).map_err(|error| {
                ApiError::invalid(format!("Invalid value for '{HEADER}': {error}."))
            })?;
            faults.push((String::from_utf8_lossy(header.as_bytes()).into_owned(), fault));
        }
        let everywhere = self.everywhere.iter().cloned().enumerate();
        faults.extend(everywhere.map(|(index, fault)| (format!("#{index}"), fault)));
        let mut happening = Vec::new();
        for (name, fault) in faults {
            let happens = self.counters.happens(namespace, &name, &fault);
            if happens.map_err(|error| ApiError::invalid(error.to_string()))? {
                let is_last = fault.failure().is_some();
                happening.push(fault);
                if is_last {
                    break; // the others are not met
                }
            }
        }
        Ok(happening)
    }
}

/// Lets a request through, late, or not at all, and damages its answer.
pub async fn apply(
    State(faults): State<Arc<Faults>>,
    InNamespace(namespace): InNamespace,
    request: Request,
    next: Next,
) -> Response {
    let faults = match faults.of(&namespace, &request) {
        Ok(faults) => faults,
        Err(error) => return error.into_response(),
    };
    for fault in &faults {
        tokio::time::sleep(fault.delay()).await;
        if let Some(failure) = fault.failure() {
            return ApiError::from(failure).into_response();
        }
    }
    let response = next.run(request).await;
    faults
        .iter()
        .map(Fault::damage)
        .filter(|damage| *damage != Damage::default())
        .fold(response, damaged)
}

fn damaged(response: Response, damage: Damage) -> Response {
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let is_stream = kind.starts_with(b"text/event-stream");
    let (parts, body) = response.into_parts();
    let body = if is_stream {
        Body::from_stream(damaged_events(body, damage))
    } else {
        Body::from_stream(cut(body.into_data_stream(), damage.drop_after_bytes))
    };
    Response::from_parts(parts, body)
}

/// A stream gives an event a piece, and a comment, which is none.
fn damaged_events(body: Body, damage: Damage) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let mut pieces = body.into_data_stream();
    let events = async_stream::stream! {
        let mut count = 0;
        while let Some(piece) = pieces.next().await {
            let is_event = piece.as_ref().is_ok_and(|bytes| !bytes.starts_with(b":"));
            if is_event {
                if damage.drop_after_events == Some(count) {
                    yield Err(axum::Error::new(error::disconnected().await));
                    return;
                }
                count += 1;
                tokio::time::sleep(damage.between_events).await;
            }
            let is_malformed = is_event && damage.malformed_event == Some(count);
            yield if is_malformed { piece.map(|event| malformed(&event)) } else { piece };
        }
    };
    cut(events, damage.drop_after_bytes)
}

/// The event with half of its data, and still with an end.
fn malformed(event: &Bytes) -> Bytes {
    let half = &event[..event.len() * 2 / 3];
    let letters = String::from_utf8_lossy(half);
    format!("{}\n\n", letters.trim_end_matches(char::REPLACEMENT_CHARACTER)).into()
}

fn cut(
    pieces: impl Stream<Item = Result<Bytes, axum::Error>>,
    after_bytes: Option<u64>,
) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    async_stream::stream! {
        let mut left = after_bytes.unwrap_or(u64::MAX);
        for await piece in pieces {
            let Ok(bytes) = &piece else {
                yield piece;
                return;
            };
            match usize::try_from(left) {
                Ok(room) if room < bytes.len() => {
                    yield Ok(bytes.slice(..room));
                    yield Err(axum::Error::new(error::disconnected().await));
                    return;
                }
                _ => left -= bytes.len() as u64,
            }
            yield piece;
        }
    }
}
