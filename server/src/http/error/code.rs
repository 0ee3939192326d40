//! Kinds of failures: their HTTP status, and their names in both APIs. The only file with status
//! codes besides the rejections of axum in `render.rs`.

use axum::http::StatusCode;

use domain::interaction::FailureKind;

/// The kind of failure, with the names of both APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    /// The resource is not in a state that permits it.
    FailedPrecondition,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Gone,
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
            Code::FailedPrecondition => {
                (StatusCode::BAD_REQUEST, "failed_precondition", "FAILED_PRECONDITION")
            }
            Code::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "UNAUTHENTICATED")
            }
            Code::PermissionDenied => {
                (StatusCode::FORBIDDEN, "permission_denied", "PERMISSION_DENIED")
            }
            Code::NotFound => (StatusCode::NOT_FOUND, "not_found", "NOT_FOUND"),
            // Google's APIs have no name for it.
            Code::Gone => (StatusCode::GONE, "gone", "NOT_FOUND"),
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

    /// Its number in the status of an operation.
    pub fn number(self) -> i32 {
        match self {
            Code::ClientClosed => 1,
            Code::InvalidRequest | Code::ProhibitedContent | Code::TooLarge => 3,
            Code::RequestTimeout | Code::DeadlineExceeded => 4,
            Code::NotFound | Code::Gone => 5,
            Code::PermissionDenied => 7,
            Code::ResourceExhausted => 8,
            Code::FailedPrecondition => 9,
            Code::Aborted => 10,
            Code::MethodNotAllowed | Code::Unimplemented => 12,
            Code::Internal => 13,
            Code::BadGateway | Code::Unavailable => 14,
            Code::Unauthenticated => 16,
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
    pub fn google_style(self) -> &'static str {
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
