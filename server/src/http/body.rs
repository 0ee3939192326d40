//! The body of a request as JSON, whatever content type it claims to have.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde_json::Value;

use super::error::{ApiError, Code};

/// How long a client may take to send its body.
const WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Body(pub Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Body, ApiError> {
        let read = tokio::time::timeout(WITHIN, Bytes::from_request(request, state)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let why = "The request is larger than this server accepts.";
                return Err(ApiError::new(Code::TooLarge, why));
            }
            Ok(Err(_)) => return Err(ApiError::invalid("The body of the request broke off.")),
            Err(_) => {
                let why = format!("The body did not come within {} s.", WITHIN.as_secs());
                return Err(ApiError::invalid(why));
            }
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Body(value)),
            Err(error) => {
                Err(ApiError::invalid(format!("Invalid JSON payload received: {error}.")))
            }
        }
    }
}
