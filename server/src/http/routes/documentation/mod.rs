//! The API's OpenAPI document at `/openapi.json`, and Swagger UI, embedded in the program, at `/docs`.

mod zip;

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

use crate::http::error::{ApiError, Code};
use crate::http::openapi::parameter::in_path;
use crate::http::openapi::schema::word;
use crate::http::openapi::{self, OPERATORS, Operation};
use crate::http::route::Route;

/// The files that the page loads.
const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

/// Their content, unpacked once.
static CONTENT: [LazyLock<Option<Bytes>>; FILES.len()] =
    [LazyLock::new(|| unpacked(FILES[0])), LazyLock::new(|| unpacked(FILES[1]))];

/// The document, serialized once.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let operations = super::table().operations();
    openapi::document(operations).to_string().into()
});

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, OPERATORS, summary);
    let text = |_: &_| json!({"type": "string"});
    vec![
        Route::get(
            "/openapi.json",
            document,
            new("document", "This document")
                .answers_as(openapi::JSON, |_| json!({"type": "object"})),
        ),
        Route::get(
            "/docs",
            page,
            new("page", "The documentation page").answers_as("text/html", text),
        ),
        Route::get(
            "/docs/{file}",
            file,
            new("pageFile", "Files of the documentation page")
                .with([in_path("file", word(&FILES))])
                .answers_as("text/css", text)
                .answers_as("text/javascript", text),
        ),
    ]
}

pub async fn document() -> Response {
    ([(CONTENT_TYPE, crate::http::JSON)], DOCUMENT.clone()).into_response()
}

pub async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

pub async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    let nothing = || ApiError::new(Code::NotFound, format!("Path not found: /docs/{name}."));
    let index = FILES.iter().position(|file| *file == name).ok_or_else(nothing)?;
    let unpacked = tokio::task::spawn_blocking(move || LazyLock::force(&CONTENT[index]).clone());
    let content = unpacked.await.map_err(ApiError::internal)?;
    let content = content.ok_or_else(|| {
        ApiError::internal(anyhow::anyhow!("the archive of Swagger UI has no {name}"))
    })?;
    let kind = if name.ends_with(".css") { "text/css" } else { "text/javascript" };
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=3600")];
    Ok((headers, content).into_response())
}

fn unpacked(name: &str) -> Option<Bytes> {
    zip::read(SWAGGER_UI_VENDORED, &format!("/dist/{name}")).map(Bytes::from)
}
