//! The API's OpenAPI 3.1 document at `/openapi.json`, and Swagger UI at `/docs`.
//!
//! Requests are parsed and responses are written by hand, so there are no types to derive it from.
//! Tests keep it correct: every route is in it and every path in it is a route; every field in it is
//! parsed and every parsed field is in it (`tests.rs`); every response in the API tests matches it
//! (`tests/wire`).

mod answers;
pub mod page;
mod paths;
mod requests;
mod schema;
#[cfg(test)]
pub mod tests;

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::http::JSON;

/// The document, serialized once.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

pub async fn get() -> Response {
    ([(CONTENT_TYPE, JSON)], DOCUMENT.clone()).into_response()
}

pub fn document() -> Value {
    let mut components = requests::components();
    components.extend(answers::components());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Belljar",
            "summary": "Self-hosted server for Gemini's code execution.",
            "description": "Paths with a version are those of the Gemini API, and Google's \
                documentation applies; the README lists the differences. Paths below `/x/` are \
                Belljar's own. A trailing slash is accepted on every path.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        // Relative to the path of this document, which may have a prefix.
        "servers": [{"url": "."}],
        "security": [{}, {"header": []}, {"query": []}, {"bearer": []}],
        "tags": [
            {"name": "interactions", "description": "Requests to a model, with all the steps that they led to."},
            {"name": "models", "description": "`generateContent` and related methods."},
            {"name": "files", "description": "Uploaded files."},
            {"name": "belljar", "description": "The sandbox without a model, and controls for tests."},
            {"name": "operators", "description": "Health checks and documentation, for operators."},
        ],
        "paths": paths::paths(),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
                "query": {"type": "apiKey", "in": "query", "name": "key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}
