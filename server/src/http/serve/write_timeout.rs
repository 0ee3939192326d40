//! Write timeout: disconnects clients that stop reading.
//!
//! A response waits in memory until its client reads it. A stalled reader would hold that memory,
//! and the interaction, indefinitely. On HTTP/1 its connection becomes unwritable. On HTTP/2 the
//! connection may be active while one of its streams stalls.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Version;
use axum::response::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Largest piece of a response for HTTP/2 at once: one frame. It measures a slow client's progress,
/// and is the most data that is buffered outside of the response.
const PIECE_BYTES: usize = 16 << 10;

/// A connection that fails if pending data is not read for too long. Costs nothing while the client
/// reads.
#[derive(Debug)]
pub struct WriteTimeoutStream {
    stream: TcpStream,
    patience: Duration,
    /// Runs while data is pending. Created on first use.
    waiting: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl WriteTimeoutStream {
    pub fn new(stream: TcpStream, patience: Duration) -> WriteTimeoutStream {
        WriteTimeoutStream { stream, patience, waiting: None, waits: false }
    }

    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waits = false;
            return poll;
        }
        let until = Instant::now() + self.patience;
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        if !std::mem::replace(&mut self.waits, true) {
            waiting.as_mut().reset(until);
        }
        if waiting.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let seconds = self.patience.as_secs_f64();
        tracing::warn!(seconds, "client write timeout");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl AsyncRead for WriteTimeoutStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for WriteTimeoutStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(context, poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(context, bytes);
        this.watch(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_flush(context);
        this.watch(context, poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

tokio::task_local! {
    /// The response of the HTTP/2 stream that this task serves.
    static OFFER: Offer;
}

/// Since when data of a response has been pending.
#[derive(Debug, Clone, Default)]
struct Offer(Arc<Mutex<Option<Instant>>>);

impl Offer {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock() = since;
    }

    /// Completes when data has been pending for this long.
    async fn stalls(&self, patience: Duration) {
        loop {
            let since = *self.0.lock();
            let until = since.unwrap_or_else(Instant::now) + patience;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Runs each HTTP/2 stream as a task, and ends it after the write timeout. hyper resets a stream
/// whose task has ended.
#[derive(Debug, Clone, Copy)]
pub struct WriteTimeoutExecutor(pub Duration);

impl<F> Executor<F> for WriteTimeoutExecutor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (patience, offer) = (self.0, Offer::default());
        tokio::spawn(OFFER.scope(offer.clone(), async move {
            tokio::select! {
                _ = stream => {}
                () = offer.stalls(patience) => {
                    let seconds = patience.as_secs_f64();
                    tracing::warn!(seconds, "client write timeout, stream reset");
                }
            }
        }));
    }
}

/// Tracks an HTTP/2 response, which is complete when its body is dropped. Others are unchanged.
pub fn watched(version: Version, response: Response) -> Response {
    if version != Version::HTTP_2 {
        return response;
    }
    let Ok(offer) = OFFER.try_with(Offer::clone) else { return response };
    response.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        offer.set(Some(Instant::now()));
        Body::new(Watched { body, rest: Bytes::new(), offer })
    })
}

/// An HTTP/2 response. hyper polls for the next piece when the client's window has space.
struct Watched {
    body: Body,
    /// The part of the last item that exceeded the piece size.
    rest: Bytes,
    offer: Offer,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_frame(context) {
                // The server has no data yet, so the client is not stalled.
                Poll::Pending => {
                    this.offer.set(None);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(other) => return Poll::Ready(other),
            }
        }
        this.offer.set(Some(Instant::now()));
        let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Not before hyper has polled for the end, which it does when the window has space: until then
    /// the last piece may be pending.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
