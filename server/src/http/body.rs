//! The body of a request as JSON, whatever content type it claims to have.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::error::ApiError;

/// How long a client may take to send its body.
const WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Body(pub Value);

impl Body {
    /// The same, where nothing at all is an object without fields.
    pub async fn or_empty(request: Request, state: &(impl Send + Sync)) -> Result<Body, ApiError> {
        let bytes = read(request, state).await?;
        if bytes.is_empty() { Ok(Body(Value::Object(Map::new()))) } else { parse(&bytes) }
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Body, ApiError> {
        parse(&read(request, state).await?)
    }
}

async fn read(request: Request, state: &(impl Send + Sync)) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(WITHIN, Bytes::from_request(request, state)).await;
    let late = format!("The body did not come within {} s.", WITHIN.as_secs());
    Ok(read.map_err(|_| ApiError::invalid(late))??)
}

fn parse(bytes: &[u8]) -> Result<Body, ApiError> {
    serde_json::from_slice(bytes)
        .map(Body)
        .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received: {error}.")))
}
