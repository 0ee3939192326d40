//! Turns every failure into Google's error envelope. Only this folder sets status codes.
//!
//! A handler returns an [`ApiError`]; [`Form::render`], called in the outermost layer, writes the
//! envelope of the route's API. Rejections of axum are rendered the same way.

mod closed;
mod code;
mod convert;
mod render;
pub mod schema;

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::http::wire::WireError;
use domain::failure::{self, INTERNAL};
use domain::interaction::FailureDelivery;
use store::Log;

pub use code::Code;
pub use render::ErrorForm;

/// Message of the real service.
pub const LATE: &str = "Deadline expired before operation could complete.";

/// Maximum size of a message about what a client sent.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// A failure: a message for the client, without details of this machine, and a source for the log.
#[derive(Debug, Clone)]
pub struct ApiError {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
    delivery: FailureDelivery,
    /// Whether the error ends an upload.
    ends_upload: bool,
    /// The allowed methods, if the requested one is not allowed.
    allow: Option<&'static str>,
    source: Option<Arc<anyhow::Error>>,
}

impl ApiError {
    /// The message may repeat what the client sent, so it has a maximum size.
    pub fn new(code: Code, message: impl Into<String>) -> ApiError {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push('…');
        }
        ApiError {
            code,
            message,
            retry_after: None,
            delivery: FailureDelivery::HttpError,
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

    /// Closes the connection, or the stream of an HTTP/2 connection, without an answer. The message is for the log.
    pub fn dropped(message: impl Into<String>) -> ApiError {
        let delivery = FailureDelivery::ConnectionDrop;
        ApiError { delivery, ..ApiError::new(Code::Unavailable, message) }
    }

    /// Whether the client gets no answer.
    pub fn is_drop(&self) -> bool {
        self.delivery == FailureDelivery::ConnectionDrop
    }

    pub fn internal(source: impl Into<anyhow::Error>) -> ApiError {
        ApiError::new(Code::Internal, INTERNAL).because(source)
    }

    /// The memory budget for responses is exhausted.
    pub fn no_memory() -> ApiError {
        failure::no_memory().into()
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

    /// The envelope of all APIs except the interactions API, and the element of the OpenAI-compatible API's.
    pub fn google_style(&self) -> Value {
        json!({"error": {
            "code": self.code.status().as_u16(),
            "message": self.message,
            "status": self.code.google_style(),
        }})
    }

    /// The error of an operation that was accepted before.
    pub fn rpc_status(&self) -> Value {
        json!({"code": self.code.number(), "message": self.message})
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

impl IntoResponse for ApiError {
    /// A response without a body: [`Form::render`] writes it.
    fn into_response(self) -> Response {
        if self.is_drop() {
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
    io::Error::new(io::ErrorKind::ConnectionAborted, "connection dropped on purpose")
}

/// Marks a failed response whose body is in the form of another protocol.
#[derive(Debug, Clone, Copy)]
pub struct OwnForm;

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
