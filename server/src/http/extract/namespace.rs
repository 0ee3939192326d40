//! `x-belljar-namespace`: the namespace of a request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};

use crate::http::error::ApiError;
use domain::namespace::Namespace;
use domain::owner::Owner;

const HEADER: &str = "x-belljar-namespace";

/// The namespace in the header, or the default one, of the request's tenant.
#[derive(Debug)]
pub struct InNamespace(pub Namespace);

impl<S: Send + Sync> FromRequestParts<S> for InNamespace {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<InNamespace, Response> {
        let Some(owner) = parts.extensions.get::<Owner>().cloned() else {
            // Only a route without authentication has no tenant; it must not use the shared
            // namespace.
            let why = anyhow::anyhow!("namespace requested on a route without authentication");
            return Err(ApiError::internal(why).into_response());
        };
        let Some(name) = parts.headers.get(HEADER) else {
            return Ok(InNamespace(Namespace::default().of(owner)));
        };
        let named = Namespace::named(name.to_str().unwrap_or_default());
        named.map(|namespace| InNamespace(namespace.of(owner))).map_err(|error| {
            ApiError::invalid(format!("Invalid value for '{HEADER}': {error}.")).into_response()
        })
    }
}
