//! Output of a session's code as server-sent events, while the code runs.
//!
//! ```text
//! stdout, stderr, image … ──▶ result ──▶ done
//!                        └──▶ error
//! ```
//!
//! A client that reads too slowly does not delay the code: it misses pieces, which the result has.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::executed;
use super::pieces::{OutputPiece, Utf8Pieces, WaitingPiece, WaitingPieces};
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::response::json::escaped;
use crate::http::response::pieces::{self, base64};
use resources::budget::Budget;
use sandbox_client::{Image, TextStream};
use sessions::{Session, SessionRun};

/// Interval of comments on an idle stream.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

/// What comes next in a stream.
enum StreamNext<T> {
    OutputPiece(WaitingPiece),
    Idle,
    Ended(T),
}

/// Runs the code, and streams its output. If the client disconnects, the code is interrupted.
pub fn execute(app: &App, session: Arc<Session>, run: SessionRun, budget: Budget) -> Response {
    let app = app.clone();
    let waiting = Arc::new(WaitingPieces::new(budget.clone()));
    let receiver = Arc::clone(&waiting);
    let receiver = Box::new(move |piece| receiver.add(piece));
    let frames = async_stream::stream! {
        let mut texts = [Utf8Pieces::default(), Utf8Pieces::default()];
        let running = session.execute(run, Some(receiver));
        let running = app.stopped.run_until_cancelled(running);
        tokio::pin!(running);
        let output = loop {
            let next = async {
                tokio::select! {
                    biased;
                    piece = waiting.next() => StreamNext::OutputPiece(piece),
                    output = &mut running => StreamNext::Ended(output),
                }
            };
            match timeout(KEEP_ALIVE_EVERY, next).await.unwrap_or(StreamNext::Idle) {
                StreamNext::OutputPiece(piece) => {
                    if let Some(frame) = frame_of(piece, &mut texts) {
                        yield frame;
                    }
                }
                StreamNext::Idle => yield Bytes::from_static(b": keep-alive\n\n"),
                StreamNext::Ended(output) => break output,
            }
        };
        while let Some(piece) = waiting.take() {
            if let Some(frame) = frame_of(piece, &mut texts) {
                yield frame;
            }
        }
        let output = output.ok_or_else(ApiError::stopping);
        let output = output.and_then(|output| output.map_err(ApiError::from));
        let result = output.and_then(|output| {
            pieces::answer(&budget, || Ok(executed(&session, &output).to_string()))
        });
        match result {
            Ok(result) => {
                yield Bytes::from_static(b"event: result\ndata: ");
                let mut pieces = result.into_body().into_data_stream();
                while let Some(Ok(piece)) = pieces.next().await {
                    yield piece;
                }
                yield Bytes::from_static(b"\n\nevent: done\ndata: [DONE]\n\n");
            }
            Err(error) => yield frame("error", &error.google_style()),
        }
    };
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(frames.map(Ok::<_, std::convert::Infallible>))).into_response()
}

fn frame(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {}\n\n", escaped(data.to_string())).into()
}

/// The event of a piece; `None` if it has no whole character yet.
fn frame_of(waiting: WaitingPiece, texts: &mut [Utf8Pieces; 2]) -> Option<Bytes> {
    match waiting.piece {
        OutputPiece::Text(stream, bytes) => {
            let text = &mut texts[stream as usize];
            if waiting.left_out > 0 {
                *text = Utf8Pieces::default();
            }
            let text = text.add(&bytes);
            let name = match stream {
                TextStream::Stdout => "stdout",
                TextStream::Stderr => "stderr",
            };
            let data = json!({"text": text, "bytes_left_out": waiting.left_out});
            (!text.is_empty()).then(|| frame(name, &data))
        }
        OutputPiece::Image(Image { mime_type, data }) => {
            Some(frame("image", &json!({"mime_type": mime_type, "data": base64(&data)})))
        }
    }
}
