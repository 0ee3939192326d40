//! Clients that take nothing of their answers any more.
//!
//! What is sent waits in memory until its client takes it. A reader that stalls would hold that,
//! and the interaction behind it, for as long as it likes. On HTTP/1 nothing can be written to its
//! connection. On HTTP/2 the connection may be in use, and one stream of it stands still.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Version;
use axum::response::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// The largest piece of an answer that HTTP/2 is given at once: a frame. It shows how much a slow client
/// has taken, and is the most that waits for a client outside of the answer.
const PIECE_BYTES: usize = 16 << 10;

/// A connection that fails when nothing of what waits is taken for too long. One that is read from
/// costs nothing.
#[derive(Debug)]
pub struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while something waits. Made when that happens for the first time.
    waiting: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Patient {
    pub fn new(stream: TcpStream, patience: Duration) -> Patient {
        Patient { stream, patience, waiting: None, waits: false }
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
        tracing::warn!(seconds, "a client took nothing of its answer, and was dropped");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
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
    /// The answer of the HTTP/2 stream that this task serves.
    static OFFER: Offer;
}

/// Since when something of an answer has waited for its client.
#[derive(Debug, Clone, Default)]
struct Offer(Arc<Mutex<Option<Instant>>>);

impl Offer {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Comes to its end when something has waited for so long.
    async fn stalls(&self, patience: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = since.unwrap_or_else(Instant::now) + patience;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Runs each stream of HTTP/2 as a task, and ends it when its client has taken nothing for too long.
/// hyper resets a stream whose task has ended.
#[derive(Debug, Clone, Copy)]
pub struct PatientTasks(pub Duration);

impl<F> Executor<F> for PatientTasks
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
                    tracing::warn!(seconds, "a client took nothing of its answer, and its stream was reset");
                }
            }
        }));
    }
}

/// The answer, which has been taken when its body is dropped. Others than those of HTTP/2 stay as they are.
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

/// An answer on HTTP/2. hyper asks for the next piece when its client has room for it.
struct Watched {
    body: Body,
    /// Of the last piece, what was too much.
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
                // It is the server's turn.
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

    /// Not before the end has been asked for, which hyper does when the client has room for more: until
    /// then the last piece may still wait.
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
