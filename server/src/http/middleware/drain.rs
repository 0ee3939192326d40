//! Reads the rest of the body of a rejected request. If the server closed the connection while the client
//! still sends, the client would see a broken pipe instead of the error, and its next request on the
//! connection would fail. Even a small body may arrive after its head.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use futures_util::StreamExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::timeout;

/// Maximum size that is read, and timeout. The connection of a client that sends more is closed.
const MAX_BYTES: usize = 16 << 20;
const WITHIN: Duration = Duration::from_secs(5);

/// The body of a request, shared by its handler and the code that reads the rest.
#[derive(Debug, Clone)]
pub struct SharedBody(Arc<Mutex<Body>>);

/// Shares the body of a request that has one.
pub fn share(request: Request) -> (Request, Option<SharedBody>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let (head, body) = request.into_parts();
    let shared = SharedBody(Arc::new(Mutex::new(body)));
    (Request::from_parts(head, Body::new(shared.clone())), Some(shared))
}

/// Returns the response after the rest of the body of a rejected request was read.
pub async fn before(response: Response, body: Option<SharedBody>) -> Response {
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    if let Some(body) = body.filter(|body| is_refused && !body.is_end_stream()) {
        let mut pieces = Body::new(body).into_data_stream();
        let drained = async {
            let mut bytes = 0;
            while bytes <= MAX_BYTES
                && let Some(Ok(piece)) = pieces.next().await
            {
                bytes += piece.len();
            }
        };
        // After the timeout or an aborted body, the response is sent anyway.
        let _ = timeout(WITHIN, drained).await;
    }
    response
}

impl SharedBody {
    fn with<T>(&self, act: impl FnOnce(&mut Body) -> T) -> T {
        act(&mut self.0.lock())
    }
}

impl hyper::body::Body for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}
