//! Vertex AI: the methods of the Gemini API under longer paths, with a few other fields.
//!
//! ```text
//!   /v1beta1/projects/P/locations/L/publishers/google/models/M:generateContent
//!      │            └── Dialect::Vertex of the request ──┘            │
//!      └───────▶ /v1beta/models/M:generateContent ◀──────────────────┘
//! ```
//!
//! The path is rewritten before the router, so that each method has one route. Handlers get the
//! [`Dialect`], and differ only in what the two services answer differently.

mod path;
pub mod tokens;
mod traffic;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::Uri;
use axum::http::request::Parts;

pub use path::{VertexScope, model_name};
pub use traffic::Traffic;

/// A version that only Vertex AI has.
pub const VERSION: &str = "v1beta1";

/// The service whose client sent a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Dialect {
    #[default]
    Gemini,
    Vertex(Arc<VertexScope>),
}

impl Dialect {
    pub fn is_vertex(&self) -> bool {
        matches!(self, Dialect::Vertex(_))
    }
}

/// Rewrites a path of Vertex AI to that of the Gemini API. Handlers extract the dialect.
pub fn enter(request: &mut Request) -> Dialect {
    let Some(found) = path::rewritten(request.uri().path()) else { return Dialect::Gemini };
    let dialect = match found.scope {
        Some(scope) => {
            let traffic = Traffic::of(request.headers());
            Dialect::Vertex(Arc::new(VertexScope { traffic, ..scope }))
        }
        None => Dialect::Gemini,
    };
    if let Some(uri) = with_path(request.uri(), &found.path) {
        *request.uri_mut() = uri;
    }
    request.extensions_mut().insert(dialect.clone());
    dialect
}

/// The address with another path, unless that is no path.
pub fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}{query}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

impl<S: Send + Sync> FromRequestParts<S> for Dialect {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Dialect, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
