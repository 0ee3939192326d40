//! JSON with large values in base64, written piece by piece: what is encoded exists for a moment only.
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

use super::JSON;
use super::error::ApiError;
use super::lines::escaped;
use crate::budget::{Budget, Share};

/// Smaller values stand in the JSON itself.
const SMALL_BYTES: usize = 64 << 10;
/// Bytes that are encoded at a time. Each piece is encoded for itself, which takes a multiple of three.
const PIECE_BYTES: usize = 48 << 10;
/// Smaller answers are not counted: the limit of requests at a time bounds them.
const UNCOUNTED_BYTES: usize = 32 << 10;

thread_local! {
    /// The values of the JSON that is being made on this thread, where it is made in pieces.
    static MADE: RefCell<Option<Made>> = const { RefCell::new(None) };
}

/// Values that stand outside of their JSON.
#[derive(Debug)]
struct Made {
    /// What each mark begins with. No client can know it, so none can write one.
    mark: String,
    values: Vec<Bytes>,
}

/// JSON that is being made on this thread. Whatever ends it, the next one is made in one piece.
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

/// A value in base64, or its mark.
pub fn base64(bytes: &Bytes) -> Value {
    let marked = MADE.with_borrow_mut(|made| {
        let made = made.as_mut().filter(|_| bytes.len() > SMALL_BYTES)?;
        let mark = format!("{}{:04}", made.mark, made.values.len());
        made.values.push(bytes.clone());
        Some(mark)
    });
    marked.unwrap_or_else(|| STANDARD.encode(bytes)).into()
}

/// An answer, where there is memory for it. `make` writes its JSON, in which large values are marks.
pub fn answer(
    budget: &Budget,
    make: impl FnOnce() -> Result<String, ApiError>,
) -> Result<Response, ApiError> {
    let making = Making::begin();
    let json = escaped(make()?);
    let made = making.end().filter(|made| !made.values.is_empty());
    let headers = [(CONTENT_TYPE, JSON)];
    let values = made.iter().flat_map(|made| &made.values).map(Bytes::len).sum::<usize>();
    // The text, and what of it is on its way.
    let bytes = values + 2 * json.len();
    let share = match bytes {
        ..UNCOUNTED_BYTES => Share::default(),
        bytes => budget.take(bytes).ok_or_else(ApiError::no_memory)?,
    };
    let body = match made {
        Some(made) => Body::new(Pieces { left: split(json, made), _share: share }),
        None if share.is_empty() => Body::from(json),
        None => Body::new(Pieces { left: [Piece::Text(json.into())].into(), _share: share }),
    };
    Ok((headers, body).into_response())
}

/// The JSON between its marks, and the values in their places.
fn split(json: String, made: Made) -> VecDeque<Piece> {
    let json = Bytes::from(json);
    let text = std::str::from_utf8(&json).unwrap_or_default();
    let (mut left, mut done) = (VecDeque::new(), 0);
    for (at, mark) in text.match_indices(&made.mark) {
        let end = at + mark.len() + 4;
        let number = text.get(at + mark.len()..end).and_then(|digits| digits.parse::<usize>().ok());
        let Some(value) = number.and_then(|number| made.values.get(number)) else { continue };
        left.push_back(Piece::Text(json.slice(done..at)));
        left.push_back(Piece::Base64(value.clone()));
        done = end;
    }
    left.push_back(Piece::Text(json.slice(done..)));
    left
}

enum Piece {
    Text(Bytes),
    Base64(Bytes),
}

impl Piece {
    fn bytes(&self) -> usize {
        match self {
            Piece::Text(text) => text.len(),
            Piece::Base64(bytes) => bytes.len().div_ceil(3) * 4,
        }
    }
}

/// A body whose size is known.
struct Pieces {
    left: VecDeque<Piece>,
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
            Some(Piece::Text(text)) => text,
            Some(Piece::Base64(mut bytes)) => {
                let now = bytes.split_to(bytes.len().min(PIECE_BYTES));
                if !bytes.is_empty() {
                    this.left.push_front(Piece::Base64(bytes));
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
        SizeHint::with_exact(self.left.iter().map(Piece::bytes).sum::<usize>() as u64)
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
    async fn what_is_written_in_pieces_is_what_would_be_written_in_one() {
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
        assert!(budget.take(100 << 20).is_some(), "all of it is free again");
    }

    #[tokio::test]
    async fn answers_take_no_more_memory_than_there_is() {
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
    fn what_is_made_in_one_is_encoded_at_once() {
        let bytes = Bytes::from(vec![0; SMALL_BYTES + 1]);
        assert_eq!(base64(&bytes), STANDARD.encode(&bytes));
    }
}
