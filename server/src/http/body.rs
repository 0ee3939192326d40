//! The body of a request as JSON, whatever content type it claims to have.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::error::ApiError;

/// How long a client may take to send its body.
const WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Body(pub Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Body, Response> {
        let read = tokio::time::timeout(WITHIN, Bytes::from_request(request, state)).await;
        let refused = |why: String| ApiError::invalid(why).into_response();
        let bytes = read
            .map_err(|_| refused(format!("The body did not come within {} s.", WITHIN.as_secs())))?
            .map_err(IntoResponse::into_response)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Body(value)),
            Err(error) => Err(refused(format!("Invalid JSON payload received: {error}."))),
        }
    }
}
