//! `x-belljar-namespace`: whose test a request belongs to.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use crate::namespace::Namespace;

const HEADER: &str = "x-belljar-namespace";

/// The namespace that the header names, or the one that is everybody's.
#[derive(Debug)]
pub struct InNamespace(pub Namespace);

impl<S: Send + Sync> FromRequestParts<S> for InNamespace {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<InNamespace, Response> {
        let Some(name) = parts.headers.get(HEADER) else {
            return Ok(InNamespace(Namespace::default()));
        };
        let named = Namespace::named(name.to_str().unwrap_or_default());
        named.map(InNamespace).map_err(|error| {
            ApiError::invalid(format!("Invalid value for '{HEADER}': {error}.")).into_response()
        })
    }
}
