//! The documentation page: Swagger UI, embedded in the program.

use std::sync::Arc;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use utoipa_swagger_ui::Config;

use crate::http::error::{ApiError, Code};

/// The files that the page loads.
pub const FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

pub async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

pub async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    let known = FILES.contains(&name.as_str());
    let found =
        known.then(|| utoipa_swagger_ui::serve(&name, Arc::new(Config::from("")))).transpose();
    let found = found.map_err(|error| ApiError::internal(anyhow::anyhow!("{error}")))?.flatten();
    let nothing = || ApiError::new(Code::NotFound, format!("Path not found: /docs/{name}."));
    let file = found.ok_or_else(nothing)?;
    let kind = if name.ends_with(".css") { "text/css" } else { "text/javascript" };
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=3600")];
    Ok((headers, file.bytes.into_owned()).into_response())
}
