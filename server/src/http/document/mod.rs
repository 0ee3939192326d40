//! The document of the API, OpenAPI 3.1, at `/openapi.json`, and a page to read it at `/docs`.
//!
//! Requests are read by hand, field by field, and answers are made by hand, so there are no types to
//! derive it from. What keeps it true are tests: every route is in it and every path of it is a
//! route; every field that it names is asked for and every field that is asked for is named
//! (`tests.rs`); everything that the tests of the API were answered fits it (`tests/wire`).

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

use super::JSON;

/// The document, packed up once.
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
            "summary": "Gemini's code execution on your own machine.",
            "description": "The paths with a version are Gemini's, and the real service's \
                documentation is theirs; what differs is in the README. Those below `/x/` are \
                Belljar's own. Every path may have a slash at its end.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        // Below whatever prefix this document was found.
        "servers": [{"url": "."}],
        "security": [{}, {"header": []}, {"query": []}, {"bearer": []}],
        "tags": [
            {"name": "interactions", "description": "Questions, and all the steps they led to."},
            {"name": "models", "description": "`generateContent` and its kin."},
            {"name": "files", "description": "What is sent ahead."},
            {"name": "belljar", "description": "The sandbox alone, and what tests ask for."},
            {"name": "operators", "description": "For those who look after the server."},
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
