//! Reads request bodies as JSON, regardless of the content type.
//!
//! ```text
//! announced size ──▶ bytes as they come ──▶ values in them ──▶ JSON
//!      413              413, 503, 400           400, 503       400
//! ```
//!
//! A body holds its share of a memory budget until its response has been sent, and its bytes are used no longer: a
//! client that disconnects does not end all work. Large bodies are parsed outside of the threads that handle requests.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use serde_json::{Map, Value};

use crate::http::error::{ApiError, Code};
use domain::owner::Owner;
use parse::json::{self, MAX_VALUES};
use resources::budget::{self, Budget, PART_OF_OWNER};
use resources::growing::GrowingShare;

/// Timeout of a request body.
const WITHIN: Duration = Duration::from_secs(120);
/// Estimated memory of a value during parsing.
const BYTES_PER_VALUE: usize = 200;
/// Maximum memory of all bodies in progress, regardless of the machine's memory.
const MAX_BUDGET_BYTES: usize = 256 << 20;
/// Larger bodies are parsed on a separate thread.
const LARGE_BYTES: usize = 1 << 20;
/// Bodies with more values are too.
const MANY_VALUES: usize = 20_000;
/// Smaller bodies are not counted, because the number of concurrent requests is limited.
const SMALL_BYTES: usize = 16 << 10;
/// Minimum amount taken from the budget at once.
const STEP_BYTES: usize = 256 << 10;

const BUSY: &str = "The server has no memory left for another request of this size. Try again.";

#[derive(Debug)]
pub struct Body(pub Value);

/// Limits of one body and of all bodies.
#[derive(Debug, Clone)]
pub struct BodyLimits {
    request_bytes: usize,
    all: Budget,
}

impl BodyLimits {
    /// The part of an owner has room for at least one request of the maximum size, and for one with the
    /// most values.
    pub fn new(request_bytes: usize) -> BodyLimits {
        let eighth = usize::try_from(budget::memory_bytes() / 8).unwrap_or(usize::MAX);
        let largest = request_bytes.max(MAX_VALUES * BYTES_PER_VALUE + LARGE_BYTES);
        let bytes = eighth.min(MAX_BUDGET_BYTES).max(largest * PART_OF_OWNER);
        BodyLimits { request_bytes, all: Budget::new(bytes) }
    }

    /// The memory for all bodies.
    pub fn budget(&self) -> &Budget {
        &self.all
    }
}

/// Limit of one request, and its share of the budget.
#[derive(Debug, Clone)]
struct Intake {
    request_bytes: usize,
    memory: GrowingShare,
}

impl Intake {
    fn take(&self, bytes: usize) -> Result<(), ApiError> {
        self.memory.take(bytes).ok_or_else(|| ApiError::new(Code::Unavailable, BUSY))
    }
}

/// Makes the limits available to handlers, and holds the share until the response has been sent.
pub async fn limit(limits: BodyLimits, mut request: Request, next: Next) -> Response {
    let owner = request.extensions().get::<Owner>().cloned().unwrap_or_default();
    let memory = GrowingShare::new(limits.all.of(&owner));
    let intake = Intake { request_bytes: limits.request_bytes, memory: memory.clone() };
    request.extensions_mut().insert(intake);
    request.extensions_mut().insert(memory.clone());
    let response = next.run(request).await;
    if memory.bytes() == 0 { response } else { holding(response, memory) }
}

/// A response that holds a value until it has been sent.
pub fn holding<T: Unpin + Send + 'static>(response: Response, held: T) -> Response {
    response.map(|body| HttpBody::new(Holding { body, _held: held }))
}

struct Holding<T> {
    body: HttpBody,
    _held: T,
}

impl<T: Unpin> hyper::body::Body for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body {
    /// Like `Body`, but an empty body is an empty object.
    pub async fn or_empty(request: Request) -> Result<Body, ApiError> {
        let (bytes, intake) = read(request).await?;
        if bytes.is_empty() {
            return Ok(Body(Value::Object(Map::new())));
        }
        parse(bytes, intake).await
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Body, ApiError> {
        let (bytes, intake) = read(request).await?;
        parse(bytes, intake).await
    }
}

/// A body of any kind. Its bytes hold their share of the budget.
#[derive(Debug)]
pub struct RawBody(pub Bytes);

/// Bytes, and the memory that they take.
struct HeldBytes {
    bytes: Vec<u8>,
    _intake: Intake,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<RawBody, ApiError> {
        let (bytes, intake) = read(request).await?;
        Ok(RawBody(Bytes::from_owner(HeldBytes { bytes, _intake: intake })))
    }
}

/// A body of JSON that something else parses, on the thread of the request: with limits that make this safe.
#[derive(Debug)]
pub struct UnparsedJson(pub Bytes);

/// Maximum size of JSON that is parsed on the thread of a request.
const MAX_UNPARSED_BYTES: usize = 16 << 20;

impl<S: Send + Sync> FromRequest<S> for UnparsedJson {
    type Rejection = ApiError;

    async fn from_request(mut request: Request, _: &S) -> Result<UnparsedJson, ApiError> {
        if let Some(intake) = request.extensions_mut().get_mut::<Intake>() {
            let most = &mut intake.request_bytes;
            *most = MAX_UNPARSED_BYTES.min(*most);
        }
        let (bytes, intake) = read(request).await?;
        let values = json::values(&bytes);
        if values > MAX_VALUES {
            let error = format!("Invalid JSON payload received: more than {MAX_VALUES} values.");
            return Err(ApiError::invalid(error));
        }
        if bytes.len() > SMALL_BYTES {
            // Its strings are copied.
            intake.take(bytes.len() + values * BYTES_PER_VALUE)?;
        }
        Ok(UnparsedJson(Bytes::from_owner(HeldBytes { bytes, _intake: intake })))
    }
}

/// A text body, regardless of the content type.
#[derive(Debug)]
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Text, ApiError> {
        let (bytes, _) = read(request).await?;
        String::from_utf8(bytes)
            .map(Text)
            .map_err(|_| ApiError::invalid("The body is not valid UTF-8."))
    }
}

/// Runs work on a body; large bodies are processed off the request threads.
pub async fn aside<T: Send + 'static>(
    body: Value,
    work: impl FnOnce(Value) -> T + Send + 'static,
) -> T {
    let mut left = MANY_VALUES;
    if has_at_most(&body, &mut left) {
        return work(body);
    }
    blocking(move || work(body)).await
}

/// Runs long work on a blocking thread.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, which drops this future.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Whether there are at most `left` values. Stops counting beyond that.
fn has_at_most(value: &Value, left: &mut usize) -> bool {
    let Some(less) = left.checked_sub(1) else { return false };
    *left = less;
    match value {
        Value::Array(items) => items.iter().all(|item| has_at_most(item, left)),
        Value::Object(fields) => fields.values().all(|field| has_at_most(field, left)),
        _ => true,
    }
}

async fn read(request: Request) -> Result<(Vec<u8>, Intake), ApiError> {
    let intake = request.extensions().get::<Intake>().cloned();
    let no_limits = || ApiError::internal(anyhow::anyhow!("a route without a limit of bodies"));
    let intake = intake.ok_or_else(no_limits)?;
    let late = format!("The body did not arrive within {} s.", WITHIN.as_secs());
    let read = tokio::time::timeout(WITHIN, collect(request, &intake)).await;
    Ok((read.map_err(|_| ApiError::invalid(late))??, intake))
}

async fn collect(request: Request, intake: &Intake) -> Result<Vec<u8>, ApiError> {
    let most = intake.request_bytes;
    let announced = request.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let announced = match announced.map(usize::try_from) {
        Some(Ok(bytes)) if bytes <= most => bytes,
        None => 0,
        Some(_) => return Err(ApiError::too_large()),
    };
    // The announced size has no budget yet, so it is not allocated.
    let mut body = Vec::with_capacity(announced.min(SMALL_BYTES));
    let mut paid = SMALL_BYTES;
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::invalid("The body ended early."))?;
        let bytes = body.len() + piece.len();
        if bytes > most {
            return Err(ApiError::too_large());
        }
        if bytes > paid {
            let step = (bytes - paid).max(STEP_BYTES).min(most - paid);
            intake.take(step)?;
            paid += step;
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

async fn parse(bytes: Vec<u8>, intake: Intake) -> Result<Body, ApiError> {
    if bytes.len() > LARGE_BYTES {
        return blocking(move || parse_here(&bytes, &intake)).await;
    }
    match json::values(&bytes) {
        MANY_VALUES.. => blocking(move || parse_here(&bytes, &intake)).await,
        _ => parse_here(&bytes, &intake),
    }
}

fn parse_here(bytes: &[u8], intake: &Intake) -> Result<Body, ApiError> {
    let values = json::values(bytes);
    if (MANY_VALUES..=MAX_VALUES).contains(&values) {
        intake.take(values * BYTES_PER_VALUE)?;
    }
    json::parse(bytes)
        .map(Body)
        .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received: {error}.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(body: impl Into<HttpBody>, limits: &BodyLimits) -> (Request, Intake) {
        let mut request = Request::new(body.into());
        let memory = GrowingShare::new(limits.all.clone());
        let intake = Intake { request_bytes: limits.request_bytes, memory };
        request.extensions_mut().insert(intake.clone());
        (request, intake)
    }

    async fn status(body: impl Into<HttpBody>, limits: &BodyLimits) -> Option<u16> {
        let (request, _) = request(body, limits);
        let refused = Body::from_request(request, &()).await.err()?;
        Some(axum::response::IntoResponse::into_response(refused).status().as_u16())
    }

    #[tokio::test]
    async fn a_body_with_too_many_values_is_rejected_before_it_is_parsed() {
        let limits = BodyLimits::new(100 << 20);
        for (open, item) in [("[0", ",0"), ("[[]", ",[]"), ("{\"a\":0", ",\"a\":0")] {
            // The JSON is invalid at its end; a parser would report that instead.
            let body = format!("{open}{}", item.repeat(MAX_VALUES));
            let (request, _) = request(body, &limits);
            let refused =
                Body::from_request(request, &()).await.expect_err("it has too many values");
            let text = format!("{refused:?}");
            assert!(text.contains("more than 500000 values"), "{text}");
        }
        let most = format!("[{}0]", "0,".repeat(MAX_VALUES - 2));
        assert_eq!(status(most, &limits).await, None);
    }

    #[tokio::test]
    async fn all_bodies_together_stay_within_the_budget() {
        let limits = BodyLimits { request_bytes: 3 << 20, all: Budget::new(3 << 20) };
        let body = || serde_json::to_vec(&json!(["a".repeat(2 << 20)])).expect("it is JSON");
        let (first, intake) = request(body(), &limits);
        Body::from_request(first, &()).await.expect("the budget has room");
        assert_eq!(status(body(), &limits).await, Some(503));
        assert_eq!(status("{}", &limits).await, None, "a small body is not counted");
        drop(intake);
        assert_eq!(status(body(), &limits).await, None);
    }

    #[tokio::test]
    async fn bytes_hold_their_memory_after_their_request_has_ended() {
        let limits = BodyLimits { request_bytes: 3 << 20, all: Budget::new(3 << 20) };
        let (request, intake) = request("a".repeat(2 << 20), &limits);
        let RawBody(bytes) = RawBody::from_request(request, &()).await.expect("there is room");
        drop(intake);
        assert!(limits.all.used() > 1 << 20, "its client has gone, and its bytes are here");
        let part = bytes.slice(..10);
        drop(bytes);
        assert!(limits.all.used() > 1 << 20, "a part keeps all of them");
        drop(part);
        assert_eq!(limits.all.used(), 0);
    }

    #[tokio::test]
    async fn json_for_another_parser_has_the_limits_of_all_json() {
        let limits = BodyLimits::new(100 << 20);
        for (body, wanted) in [
            (format!("[0{}]", ",0".repeat(MAX_VALUES)), 400),
            (format!("\"{}\"", "a".repeat(MAX_UNPARSED_BYTES)), 413),
        ] {
            let (request, _) = request(body, &limits);
            let refused =
                UnparsedJson::from_request(request, &()).await.expect_err("it is too much");
            let response = axum::response::IntoResponse::into_response(refused);
            assert_eq!(response.status().as_u16(), wanted);
        }
        let body = format!("[0{}]", ",0".repeat(MAX_VALUES / 2));
        let (request, intake) = request(body, &limits);
        UnparsedJson::from_request(request, &()).await.expect("it is within the limits");
        assert!(intake.memory.bytes() > MAX_VALUES / 2 * BYTES_PER_VALUE);
    }

    #[tokio::test]
    async fn an_excessive_content_length_is_rejected_before_the_body_is_read() {
        let limits = BodyLimits::new(1000);
        for length in ["1001", "9223372036854775807", "18446744073709551615"] {
            let never = futures_util::stream::pending::<Result<Bytes, axum::Error>>();
            let (mut request, _) = request(HttpBody::from_stream(never), &limits);
            request.headers_mut().insert(CONTENT_LENGTH, length.parse().expect("it is a value"));
            let refused = Body::from_request(request, &()).await.expect_err("it is too large");
            let response = axum::response::IntoResponse::into_response(refused);
            assert_eq!(response.status().as_u16(), 413, "{length}");
        }
        assert_eq!(status(" ".repeat(1001), &limits).await, Some(413));
    }

    #[tokio::test]
    async fn large_bodies_are_processed_off_the_request_thread() {
        let here = std::thread::current().id();
        let thread = |_| std::thread::current().id();
        assert_eq!(aside(json!([1, 2]), thread).await, here);
        let many = Value::Array(vec![Value::Null; MANY_VALUES]);
        assert_ne!(aside(many, thread).await, here);
    }
}
