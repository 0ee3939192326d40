//! Logs one line per request after its response, and counts it: the request, its outcome and what answered. Never
//! logs keys, prompts, code, output or the query string.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::runtime::Handle;
use tracing::Level;
use uuid::Uuid;

use crate::http::console;
use crate::http::middleware::in_flight::{InFlight, InFlightPlace, is_probe};
use crate::http::{REQUEST_ID, RequestId};
use crate::trace::{RequestFacts, Trace};
use domain::interaction::Status;
use metrics::{FinishedRequest, RequestMetrics, StreamGuard};

/// The log target, as used in `BELLJAR_LOG`.
const TARGET: &str = "server::request";
/// Maximum logged length of a path and of a scenario's name.
const MAX_SHOWN_BYTES: usize = 256;
/// The error's name, as in the envelope. An extension of the response.
#[derive(Debug, Clone, Copy)]
pub struct ErrorName(pub &'static str);

/// Assigns a request id, for the log and the response, and logs the request.
pub async fn log(
    State((in_flight, metrics)): State<(InFlight, RequestMetrics)>,
    mut request: Request,
    next: Next,
) -> Response {
    let id: Arc<str> = Uuid::new_v4().simple().to_string().into();
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let header = HeaderValue::from_str(&id);
    let place = in_flight.enter();
    request.extensions_mut().insert(place.clone());
    let mut line = DropLater::new(LogLine::begin(&request, id, place, metrics));
    let trace = line.trace.clone();
    let mut response = trace.follow(next.run(request)).await;
    if let Ok(id) = header {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    line.status = Some(response.status());
    line.refusal = response.extensions_mut().remove::<ErrorName>().map(|refusal| refusal.0);
    response.map(|body| {
        line.is_stream = body.size_hint().exact().is_none();
        line.stream = line.is_stream.then(|| line.metrics.stream());
        Body::new(Logged { body, line })
    })
}

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseEnd {
    /// Still in progress.
    Open,
    Sent,
    /// Aborted by the server, as a scenario or a fault requested.
    Cut,
}

/// Data of the log line and of the metrics. Dropping it writes the line, also if the client disconnects.
#[derive(Debug)]
struct LogLine {
    id: Arc<str>,
    method: Method,
    path: String,
    began: Instant,
    trace: Trace,
    status: Option<StatusCode>,
    refusal: Option<&'static str>,
    is_stream: bool,
    bytes: u64,
    events: u64,
    end: ResponseEnd,
    place: InFlightPlace,
    metrics: RequestMetrics,
    /// Set while a stream is open.
    stream: Option<StreamGuard>,
}

impl LogLine {
    fn begin(
        request: &Request,
        id: Arc<str>,
        place: InFlightPlace,
        metrics: RequestMetrics,
    ) -> LogLine {
        LogLine {
            id,
            method: request.method().clone(),
            path: shown(request.uri().path()).to_owned(),
            began: Instant::now(),
            trace: Trace::default(),
            status: None,
            refusal: None,
            is_stream: false,
            bytes: 0,
            events: 0,
            end: ResponseEnd::Open,
            place,
            metrics,
            stream: None,
        }
    }

    fn level(&self, answered_by: &str) -> Level {
        let is_probe = is_probe(&self.path);
        // Failures that a scenario or a fault requested are not errors.
        let is_wanted = matches!(answered_by, "scenario" | "fault");
        match self.status {
            _ if is_probe => Level::DEBUG,
            // A page of the console is read every second.
            Some(status) if self.is_of_console() && !status.is_server_error() => Level::DEBUG,
            Some(status) if status.is_server_error() && !is_wanted => Level::ERROR,
            Some(status) if status.is_client_error() && !is_wanted => Level::WARN,
            _ => Level::INFO,
        }
    }

    fn is_of_console(&self) -> bool {
        self.method == Method::GET && self.path.starts_with(console::PATH)
    }

    fn answered_by(&self, found: &RequestFacts) -> &'static str {
        match (found.by, &found.result.scenario, found.result.backend, self.refusal) {
            (Some(by), ..) => by,
            (_, Some(_), ..) => "scenario",
            (_, _, Some(backend), _) => backend,
            (.., Some(_)) => "refusal",
            _ => "server",
        }
    }

    fn finish(&self) {
        let mut found = self.trace.found();
        self.metrics.finished(FinishedRequest {
            route: std::mem::take(&mut found.route),
            method: self.method.as_str(),
            status: self.status.map(|status| status.as_u16()),
            duration: self.began.elapsed(),
            sent_bytes: self.bytes,
        });
        self.write(&found);
    }

    fn write(&self, found: &RequestFacts) {
        if !tracing::enabled!(target: TARGET, Level::ERROR) {
            return;
        }
        let by = self.answered_by(found);
        let result = &found.result;
        let duration_ms = (self.began.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        let ran = (result.runs > 0).then_some(result.runs);
        macro_rules! line {
            ($level:expr, $event:literal) => {
                tracing::event!(
                    target: TARGET,
                    $level,
                    method = %self.method,
                    path = %self.path,
                    status = self.status.map(|status| status.as_u16()),
                    duration_ms,
                    answered_by = by,
                    scenario = result.scenario.as_deref().map(shown),
                    error = self.refusal,
                    runs = ran,
                    failed_runs = ran.map(|_| result.failed_runs),
                    interaction.id = result.interaction_id.as_deref(),
                    interaction.status = result.status.map(Status::as_str),
                    sent_bytes = self.status.map(|_| self.bytes),
                    events = self.is_stream.then_some(self.events),
                    request.id = %self.id,
                    $event
                )
            };
        }
        let level = self.level(by);
        match self.end {
            ResponseEnd::Open => line!(Level::INFO, "client disconnected"),
            ResponseEnd::Cut => line!(Level::INFO, "response aborted"),
            ResponseEnd::Sent if level == Level::ERROR => line!(Level::ERROR, "request failed"),
            ResponseEnd::Sent if level == Level::WARN => line!(Level::WARN, "request rejected"),
            ResponseEnd::Sent if level == Level::DEBUG => line!(Level::DEBUG, "request completed"),
            ResponseEnd::Sent => line!(Level::INFO, "request completed"),
        }
    }
}

fn shown(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_SHOWN_BYTES)]
}

impl Drop for LogLine {
    fn drop(&mut self) {
        self.place.end();
        self.stream = None;
        self.finish();
    }
}

/// Drops its value in a task of its own. The current task, which is about to send the end of a response,
/// does not wait for the log.
#[derive(Debug)]
struct DropLater<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> DropLater<T> {
    fn new(value: T) -> DropLater<T> {
        DropLater(Some(value))
    }
}

impl<T: Send + 'static> Deref for DropLater<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only `drop` takes the value")
    }
}

impl<T: Send + 'static> DerefMut for DropLater<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("only `drop` takes the value")
    }
}

impl<T: Send + 'static> Drop for DropLater<T> {
    fn drop(&mut self) {
        let value = self.0.take();
        // A runtime that is shutting down drops the task, and the value with it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { drop(value) });
        }
    }
}

/// A response in progress.
#[derive(Debug)]
struct Logged {
    body: Body,
    line: DropLater<LogLine>,
}

impl hyper::body::Body for Logged {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        let line = &mut *self.line;
        match &polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    line.bytes += data.len() as u64;
                    // A keep-alive comment is not an event.
                    line.events += u64::from(!data.starts_with(b":"));
                }
            }
            Some(Err(_)) => line.end = ResponseEnd::Cut,
            None => line.end = ResponseEnd::Sent,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // A sender may skip the end of a body after it has checked `is_end_stream`.
        let has_no_body = self.line.method == Method::HEAD;
        if self.line.end == ResponseEnd::Open && (has_no_body || self.body.is_end_stream()) {
            self.line.end = ResponseEnd::Sent;
        }
    }
}
