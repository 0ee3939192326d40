//! Turns every failure into Google's error envelope. The only file with status codes.
//!
//! A handler returns an [`ApiError`]; [`Form::render`], called in the outermost layer, writes the
//! envelope of the route's API. Rejections of axum are rendered the same way.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::backend::BackendError;
use crate::cause;
use crate::engine::{EngineError, FetchError, FileError};
use crate::http::middleware::request_log::Refusal;
use crate::http::response::json::escaped;
use crate::http::surface::{Surface, SurfaceSlot};
use crate::http::wire::WireError;
use crate::http::{JSON, RequestId, UPLOAD_STATUS};
use crate::interaction::{Failure, FailureKind, Manner};
use crate::sandbox::SandboxError;
use crate::store::{Log, StoreError, UploadError};

/// Message of the real service.
pub const LATE: &str = "Deadline expired before operation could complete.";
const INTERNAL: &str = "Internal error encountered.";
/// A request has already waited in a queue before it gets this error.
const RETRY_AFTER_SECONDS: &str = "5";

/// The kind of failure, with the names of both APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    MethodNotAllowed,
    Aborted,
    RequestTimeout,
    ClientClosed,
    BadGateway,
    /// Only the interactions API has a name for this one.
    ProhibitedContent,
    TooLarge,
    ResourceExhausted,
    Internal,
    Unimplemented,
    Unavailable,
    DeadlineExceeded,
}

impl Code {
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Code::InvalidRequest => {
                (StatusCode::BAD_REQUEST, "invalid_request", "INVALID_ARGUMENT")
            }
            Code::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "UNAUTHENTICATED")
            }
            Code::PermissionDenied => {
                (StatusCode::FORBIDDEN, "permission_denied", "PERMISSION_DENIED")
            }
            Code::NotFound => (StatusCode::NOT_FOUND, "not_found", "NOT_FOUND"),
            Code::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "UNIMPLEMENTED")
            }
            Code::Aborted => (StatusCode::CONFLICT, "aborted", "ABORTED"),
            Code::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "request_timeout", "DEADLINE_EXCEEDED")
            }
            // Google's status, which no standard defines.
            Code::ClientClosed => (
                StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
                "cancelled",
                "CANCELLED",
            ),
            Code::BadGateway => (StatusCode::BAD_GATEWAY, "bad_gateway", "UNAVAILABLE"),
            Code::ProhibitedContent => {
                (StatusCode::BAD_REQUEST, "prohibited_content", "INVALID_ARGUMENT")
            }
            Code::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "INVALID_ARGUMENT")
            }
            Code::ResourceExhausted => {
                (StatusCode::TOO_MANY_REQUESTS, "resource_exhausted", "RESOURCE_EXHAUSTED")
            }
            Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "INTERNAL"),
            Code::Unimplemented => {
                (StatusCode::NOT_IMPLEMENTED, "not_implemented", "UNIMPLEMENTED")
            }
            Code::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", "UNAVAILABLE")
            }
            Code::DeadlineExceeded => {
                (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout", "DEADLINE_EXCEEDED")
            }
        }
    }

    pub fn status(self) -> StatusCode {
        self.row().0
    }

    /// Its name in the interactions API.
    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// Its name in the other APIs.
    fn google_style(self) -> &'static str {
        self.row().2
    }

    /// The code for a failure of an interaction that had begun.
    pub fn of(kind: FailureKind) -> Code {
        match kind {
            FailureKind::InvalidRequest => Code::InvalidRequest,
            FailureKind::Unauthenticated => Code::Unauthenticated,
            FailureKind::PermissionDenied => Code::PermissionDenied,
            FailureKind::NotFound => Code::NotFound,
            FailureKind::Aborted => Code::Aborted,
            FailureKind::RequestTimeout => Code::RequestTimeout,
            FailureKind::ClientClosed => Code::ClientClosed,
            FailureKind::BadGateway => Code::BadGateway,
            FailureKind::TooLarge => Code::TooLarge,
            FailureKind::Unimplemented => Code::Unimplemented,
            // Google has no name for it outside of `finishReason`.
            FailureKind::Stopped(_) => Code::Internal,
            FailureKind::Unavailable => Code::Unavailable,
            FailureKind::ResourceExhausted => Code::ResourceExhausted,
            FailureKind::DeadlineExceeded => Code::DeadlineExceeded,
            FailureKind::Internal => Code::Internal,
        }
    }
}

/// A failure: a message for the client, without details of this machine, and a source for the log.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
    manner: Manner,
    /// Whether the error ends an upload.
    ends_upload: bool,
    /// The allowed methods, if the requested one is not allowed.
    allow: Option<&'static str>,
    source: Option<Arc<anyhow::Error>>,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: message.into(),
            retry_after: None,
            manner: Manner::Thrown,
            ends_upload: false,
            allow: None,
            source: None,
        }
    }

    /// A method that the path does not support.
    pub fn method(allow: &'static str, message: impl Into<String>) -> ApiError {
        ApiError { allow: Some(allow), ..ApiError::new(Code::MethodNotAllowed, message) }
    }

    pub fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::InvalidRequest, message)
    }

    pub fn internal(source: impl Into<anyhow::Error>) -> ApiError {
        ApiError::new(Code::Internal, INTERNAL).because(source)
    }

    /// The memory budget for responses is exhausted.
    pub fn no_memory() -> ApiError {
        let why = "The server has no memory left for an answer of this size. Try again.";
        ApiError::new(Code::Unavailable, why)
    }

    pub fn too_large() -> ApiError {
        ApiError::new(Code::TooLarge, "The request is larger than this server accepts.")
    }

    /// The disk has failed, so the log has no end.
    pub fn broken_off(log: &Log) -> ApiError {
        match log.failure() {
            Some(error) => error.into(),
            None => ApiError::internal(anyhow::anyhow!("the log closed before its last event")),
        }
    }

    /// The client's deadline has passed.
    pub fn late() -> ApiError {
        ApiError::new(Code::DeadlineExceeded, LATE)
    }

    pub fn stopping() -> ApiError {
        ApiError::new(Code::Unavailable, "The server is stopping.")
    }

    /// The envelope of all APIs except the interactions API.
    pub fn google_style(&self) -> Value {
        json!({"error": {
            "code": self.code.status().as_u16(),
            "message": self.message,
            "status": self.code.google_style(),
        }})
    }

    /// No interaction is stored under this well-formed id.
    pub fn no_interaction(id: &str) -> ApiError {
        ApiError::new(Code::NotFound, format!("Interaction not found: interactions/{id}"))
    }

    /// Message of the real service, which does not reveal whether the file exists.
    pub fn no_file(id: &str) -> ApiError {
        let why =
            format!("You do not have permission to access the File {id} or it may not exist.");
        ApiError::new(Code::PermissionDenied, why)
    }

    fn because(mut self, source: impl Into<anyhow::Error>) -> ApiError {
        self.source = Some(Arc::new(source.into()));
        self
    }
}

/// A mistake in a request's JSON, with the real service's message if it is known. For all APIs
/// except the interactions API.
pub fn invalid_payload(error: WireError) -> ApiError {
    ApiError::invalid(match error {
        WireError::Unknown(path) => match path.rsplit_once('.') {
            Some((place, name)) => unknown_name(name, &format!(" at '{place}'")),
            None => unknown_name(&path, ""),
        },
        other => other.to_string(),
    })
}

fn unknown_name(name: &str, place: &str) -> String {
    format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.")
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        let error = ApiError::new(Code::of(failure.kind), failure.message);
        ApiError { retry_after: failure.retry_after, manner: failure.manner, ..error }
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> ApiError {
        ApiError::invalid(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error.unwritable() {
            Some(why) => ApiError::new(Code::Unavailable, why),
            None => ApiError::internal(error),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> ApiError {
        let text = sentence(&error.to_string());
        let (code, ends_upload) = match error {
            UploadError::Unknown => (Code::NotFound, true),
            UploadError::TooLarge(_) => (Code::TooLarge, true),
            UploadError::WrongSize { .. } => (Code::InvalidRequest, true),
            UploadError::Taken | UploadError::Gap { .. } => (Code::InvalidRequest, false),
            UploadError::Full { .. } => (Code::ResourceExhausted, false),
            UploadError::Busy => (Code::Unavailable, false),
            UploadError::Store(error) => return error.into(),
            UploadError::Disk(_) => return ApiError::internal(error),
        };
        ApiError { ends_upload, ..ApiError::new(code, text) }
    }
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> ApiError {
        match error {
            FileError::Remote(uri) => ApiError::invalid(format!(
                "A file at '{uri}' cannot be fetched by this server. Upload it, or send it inline, as \
                 base64 'data'."
            )),
            FileError::Fetch(FetchError::NotAllowed(uri)) => ApiError::invalid(format!(
                "The file at '{uri}' is not fetched: the operator of this server has not allowed its \
                 address. Upload it, or send it inline, as base64 'data'."
            )),
            FileError::Missing(id) => ApiError::no_file(&id),
            FileError::Fetch(FetchError::Failed(..))
            | FileError::TooLarge { .. }
            | FileError::TooMuch
            | FileError::TooMany => ApiError::invalid(sentence(&error.to_string())),
            FileError::Store(error) => error.into(),
        }
    }
}

impl From<SandboxError> for ApiError {
    fn from(error: SandboxError) -> ApiError {
        let (code, message) = match &error {
            SandboxError::Busy => (Code::ResourceExhausted, "All cells are in use. Try again."),
            SandboxError::NoMemory => return ApiError::no_memory(),
            SandboxError::Unavailable(_)
            | SandboxError::TooThin { .. }
            | SandboxError::Start { .. }
            | SandboxError::Ended(_)
            | SandboxError::Connect { .. }
            | SandboxError::Frame(_)
            | SandboxError::Silent => (Code::Unavailable, "The sandbox is not available."),
            SandboxError::Invalid(why) => {
                return ApiError::invalid(format!("Invalid request to the sandbox: {why}."));
            }
            SandboxError::OutOfTurn => (Code::Internal, INTERNAL),
        };
        ApiError::new(code, message).because(error)
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> ApiError {
        match error {
            EngineError::UnknownPrevious(id) => ApiError::no_interaction(&id),
            EngineError::PreviousInProgress(id) => {
                ApiError::invalid(format!("Interaction interactions/{id} is still in progress."))
            }
            EngineError::UnknownCall(id) => ApiError::invalid(format!(
                "This conversation has no function call '{id}', to which the 'call_id' \
                 of a 'function_result' refers."
            )),
            EngineError::TooManyInBackground => {
                ApiError::new(Code::ResourceExhausted, sentence(&error.to_string()))
            }
            EngineError::ChainTooLong => ApiError::invalid(sentence(&error.to_string())),
            EngineError::Schema(error) => {
                ApiError::invalid(format!("Invalid response schema: {error}."))
            }
            EngineError::File(error) => error.into(),
            EngineError::Backend(BackendError::Refused(why)) => ApiError::invalid(why),
            EngineError::Backend(BackendError::Unavailable(why)) => {
                ApiError::new(Code::Unavailable, why)
            }
            EngineError::Backend(BackendError::Failed(failure)) => failure.into(),
            EngineError::Stopping => ApiError::stopping(),
            EngineError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    /// A response without a body: [`Form::render`] writes it.
    fn into_response(self) -> Response {
        if self.manner == Manner::Dropped {
            return dropped();
        }
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A response whose body fails at its first byte, which closes the connection.
fn dropped() -> Response {
    let broken = futures_util::stream::once(async { Err::<Bytes, _>(disconnected().await) });
    Response::new(Body::from_stream(broken))
}

/// Ends a connection in the middle of a body. Yields first, so that the data so far is sent: hyper
/// flushes when the body is pending.
pub async fn disconnected() -> io::Error {
    tokio::task::yield_now().await;
    io::Error::new(io::ErrorKind::ConnectionAborted, "connection dropped on request of a scenario")
}

/// The handler of paths that an API does not have.
pub async fn no_such_path() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// A panic becomes an error response instead of a closed connection.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    ApiError::internal(anyhow::anyhow!("a handler panicked: {what}")).into_response()
}

/// How a failure of this request is rendered, depending on its API.
#[derive(Debug)]
pub struct Form {
    uri: Uri,
    id: RequestId,
    surface: SurfaceSlot,
}

impl Form {
    /// Adds the slot to the request in which the router sets the API.
    pub fn of(request: &mut Request) -> Form {
        let surface = SurfaceSlot::default();
        request.extensions_mut().insert(surface.clone());
        let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
        Form { uri: request.uri().clone(), id, surface }
    }

    /// Renders a failed response; leaves others unchanged.
    pub fn render(&self, mut response: Response) -> Response {
        let error = response.extensions_mut().remove::<ApiError>();
        match error.or_else(|| refused_below(response.status(), self.uri.path())) {
            Some(error) => self.rendered(error, &response),
            None => response,
        }
    }

    /// Replaces the body of a failed response by the envelope.
    fn rendered(&self, error: ApiError, response: &Response) -> Response {
        if let Some(source) = &error.source {
            let (id, path, cause) = (&self.id.0, self.uri.path(), cause::in_a_line(source));
            tracing::error!(request.id = %id, path, error = cause, "request failed");
        }
        rendered(envelope(self.surface.get(), &error), &error, response)
    }
}

fn rendered(envelope: String, error: &ApiError, response: &Response) -> Response {
    let mut rendered = (error.code.status(), envelope).into_response();
    rendered.extensions_mut().insert(Refusal(error.code.word()));
    let headers = rendered.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    let seconds = error.retry_after.map(|time| time.as_millis().div_ceil(1000).to_string());
    if let Some(seconds) = seconds.and_then(|seconds| HeaderValue::try_from(seconds).ok()) {
        headers.insert(RETRY_AFTER, seconds);
    } else if error.code == Code::ResourceExhausted {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
    if error.ends_upload {
        // Without it the SDKs would resend the chunk.
        headers.insert(UPLOAD_STATUS, HeaderValue::from_static("final"));
    }
    if let Some(allow) = error.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    for name in [ALLOW, RETRY_AFTER] {
        if let Some(value) = response.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    rendered
}

/// axum's own rejections have a status but no envelope.
fn refused_below(status: StatusCode, path: &str) -> Option<ApiError> {
    let error = match status {
        StatusCode::NOT_FOUND => ApiError::new(Code::NotFound, format!("Path not found: {path}.")),
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::new(Code::MethodNotAllowed, format!("{path} does not support this method."))
        }
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ if status.is_client_error() => ApiError::invalid("Malformed request."),
        _ => return None,
    };
    Some(error)
}

/// The interactions API uses a name as the code; the others use a number and a status.
fn envelope(surface: Surface, error: &ApiError) -> String {
    let body = match surface {
        Surface::Interactions => {
            json!({"error": {"message": error.message, "code": error.code.word()}})
        }
        Surface::GenerateContent | Surface::Uploads | Surface::Own => error.google_style(),
    };
    escaped(body.to_string())
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::to_bytes;
    use axum::routing::get;
    use tower::ServiceExt as _;
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    async fn explode() -> StatusCode {
        panic!("of 42 secrets")
    }

    async fn answer(surface: Surface) -> (StatusCode, Value) {
        let router =
            Router::new().route("/", get(explode)).layer(CatchPanicLayer::custom(panicked));
        let mut request = Request::new(Body::empty());
        let form = Form::of(&mut request);
        form.surface.set(surface);
        let response = form.render(router.oneshot(request).await.expect("it cannot fail"));
        let status = response.status();
        let body = to_bytes(response.into_body(), 1000).await.expect("it is short");
        (status, serde_json::from_slice(&body).expect("it is JSON"))
    }

    #[tokio::test]
    async fn a_panic_gives_an_error_without_details() {
        let word = json!({"error": {"message": INTERNAL, "code": "internal"}});
        let number = json!({"error": {"code": 500, "message": INTERNAL, "status": "INTERNAL"}});
        for (surface, wanted) in [(Surface::Interactions, word), (Surface::GenerateContent, number)]
        {
            assert_eq!(answer(surface).await, (StatusCode::INTERNAL_SERVER_ERROR, wanted));
        }
    }
}
