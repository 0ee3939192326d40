//! Writes JSON with large base64 values in pieces, so that only one encoded piece is in memory at a
//! time.
//!
//! ```text
//!   bytes ──▶ mark in the JSON ──▶ text up to the mark · the bytes · text after it ──▶ body
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::{Frame, SizeHint};
use serde_json::Value;
use uuid::Uuid;

use crate::http::JSON;
use crate::http::error::ApiError;
use crate::http::response::json::escaped;
use resources::budget::{Budget, Share};

/// Smaller values are encoded in place.
const SMALL_BYTES: usize = 64 << 10;
/// Bytes encoded at a time. Pieces are encoded independently, which requires a multiple of three.
const PIECE_BYTES: usize = 48 << 10;
/// Smaller responses are not counted, because the number of concurrent requests is limited.
const UNCOUNTED_BYTES: usize = 32 << 10;

thread_local! {
    /// The values of the JSON that this thread is writing in pieces, if any.
    static MADE: RefCell<Option<Made>> = const { RefCell::new(None) };
}

/// Values outside of their JSON.
#[derive(Debug)]
struct Made {
    /// Prefix of the placeholders. It is random, so no client can forge one.
    mark: String,
    values: Vec<Bytes>,
}

/// JSON that this thread is writing in pieces. Dropping it ends that mode.
struct Making;

impl Making {
    fn begin() -> Making {
        let mark = Uuid::new_v4().simple().to_string();
        MADE.set(Some(Made { mark, values: Vec::new() }));
        Making
    }

    fn end(self) -> Option<Made> {
        MADE.take()
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        drop(MADE.take());
    }
}

/// A value in base64, or its placeholder.
pub fn base64(bytes: &Bytes) -> Value {
    let marked = MADE.with_borrow_mut(|made| {
        let made = made.as_mut().filter(|_| bytes.len() > SMALL_BYTES)?;
        let mark = format!("{}{:04}", made.mark, made.values.len());
        made.values.push(bytes.clone());
        Some(mark)
    });
    marked.unwrap_or_else(|| STANDARD.encode(bytes)).into()
}

/// Builds a response if there is memory for it. `make` writes its JSON, with placeholders for large
/// values.
pub fn answer(
    budget: &Budget,
    make: impl FnOnce() -> Result<String, ApiError>,
) -> Result<Response, ApiError> {
    let making = Making::begin();
    let json = escaped(make()?);
    let made = making.end().filter(|made| !made.values.is_empty());
    let headers = [(CONTENT_TYPE, JSON)];
    let values = made.iter().flat_map(|made| &made.values).map(Bytes::len).sum::<usize>();
    // The text, and the pieces in transit.
    let bytes = values + 2 * json.len();
    let share = match bytes {
        ..UNCOUNTED_BYTES => Share::default(),
        bytes => budget.take(bytes).ok_or_else(ApiError::no_memory)?,
    };
    let content = match made {
        Some(made) => Body::new(Pieces { left: split(json, made), _share: share }),
        None if share.is_empty() => Body::from(json),
        None => body(json.into(), share),
    };
    Ok((headers, content).into_response())
}

/// A text, and its memory until it is sent.
pub fn body(text: Bytes, memory: Share) -> Body {
    Body::new(Pieces { left: [BodyPiece::Text(text)].into(), _share: memory })
}

/// Splits the JSON at its placeholders and inserts the values.
fn split(json: String, made: Made) -> VecDeque<BodyPiece> {
    let json = Bytes::from(json);
    let text = std::str::from_utf8(&json).unwrap_or_default();
    let (mut left, mut done) = (VecDeque::new(), 0);
    for (at, mark) in text.match_indices(&made.mark) {
        let end = at + mark.len() + 4;
        let number = text.get(at + mark.len()..end).and_then(|digits| digits.parse::<usize>().ok());
        let Some(value) = number.and_then(|number| made.values.get(number)) else { continue };
        left.push_back(BodyPiece::Text(json.slice(done..at)));
        left.push_back(BodyPiece::Base64(value.clone()));
        done = end;
    }
    left.push_back(BodyPiece::Text(json.slice(done..)));
    left
}

enum BodyPiece {
    Text(Bytes),
    Base64(Bytes),
}

impl BodyPiece {
    fn bytes(&self) -> usize {
        match self {
            BodyPiece::Text(text) => text.len(),
            BodyPiece::Base64(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }
}

/// A body of known size.
struct Pieces {
    left: VecDeque<BodyPiece>,
    _share: Share,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let piece = match this.left.pop_front() {
            Some(BodyPiece::Text(text)) => text,
            Some(BodyPiece::Base64(mut bytes)) => {
                let now = bytes.split_to(bytes.len().min(PIECE_BYTES));
                if !bytes.is_empty() {
                    this.left.push_front(BodyPiece::Base64(bytes));
                }
                STANDARD.encode(now).into()
            }
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.iter().map(BodyPiece::bytes).sum::<usize>() as u64)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{HttpBody as _, to_bytes};
    use serde_json::json;

    use super::*;

    async fn made(values: &[Bytes], budget: &Budget) -> Result<Value, u16> {
        let make = || {
            let values: Vec<Value> = values.iter().map(base64).collect();
            Ok(json!({"a": values, "b": "end"}).to_string())
        };
        let response = answer(budget, make);
        let response = response.map_err(|error| error.into_response().status().as_u16())?;
        let exact = response.body().size_hint().exact().expect("its size is known");
        let body = to_bytes(response.into_body(), usize::MAX).await.expect("it cannot fail");
        assert_eq!(body.len() as u64, exact);
        Ok(serde_json::from_slice(&body).expect("it is JSON"))
    }

    #[tokio::test]
    async fn json_written_in_pieces_equals_json_written_at_once() {
        let budget = Budget::new(100 << 20);
        let value = |bytes: usize| Bytes::from((0..bytes).map(|n| n as u8).collect::<Vec<_>>());
        for sizes in [
            &[][..],
            &[1, 2, 3],
            &[SMALL_BYTES, SMALL_BYTES + 1, 0, 2 * PIECE_BYTES],
            &[2 * PIECE_BYTES + 1, 5, 2 * PIECE_BYTES + 2, 1 << 20],
        ] {
            let values: Vec<Bytes> = sizes.iter().copied().map(value).collect();
            let wanted: Vec<String> = values.iter().map(|value| STANDARD.encode(value)).collect();
            assert_eq!(made(&values, &budget).await, Ok(json!({"a": wanted, "b": "end"})));
        }
        assert!(budget.take(100 << 20).is_some(), "all memory is released");
    }

    #[tokio::test]
    async fn responses_stay_within_the_memory_budget() {
        let budget = Budget::new(3 << 20);
        let value = Bytes::from(vec![7; 2 << 20]);
        let (first, second) = (
            answer(&budget, || Ok(base64(&value).to_string())).expect("there is memory"),
            answer(&budget, || Ok(base64(&value).to_string())),
        );
        let status = second.map_err(|error| error.into_response().status().as_u16());
        assert_eq!(status.expect_err("there is none"), 503);
        drop(first);
        assert!(made(&[value], &budget).await.is_ok());
    }

    #[test]
    fn without_pieces_values_are_encoded_in_place() {
        let bytes = Bytes::from(vec![0; SMALL_BYTES + 1]);
        assert_eq!(base64(&bytes), STANDARD.encode(&bytes));
    }
}
