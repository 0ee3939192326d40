//! An upload in one body of several parts.

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::{at_once, done, header};
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::error::invalid_payload;
use crate::http::extract::external_url::ExternalUrl;
use crate::http::wire::file::{InHeaders, announced};
use domain::owner::Owner;

/// Maximum size of the part with the file's metadata.
const MAX_METADATA_BYTES: usize = 64 << 10;

/// The first part is the metadata as JSON, the second is the file.
pub async fn multipart(
    app: &App,
    owner: &Owner,
    base: &ExternalUrl,
    request: Request,
) -> Result<Response, ApiError> {
    let broken = |why: &dyn std::fmt::Display| {
        ApiError::invalid(format!("Malformed multipart body: {why}."))
    };
    let kind = header(request.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
    let boundary = boundary(kind).ok_or_else(|| broken(&"no boundary"))?;
    let mut parts = multer::Multipart::new(request.into_body().into_data_stream(), boundary);

    let mut first = parts.next_field().await.map_err(|error| broken(&error))?;
    let metadata = match &mut first {
        Some(part) => read_metadata(part).await?,
        None => return Err(broken(&"no parts")),
    };
    drop(first);
    let part = parts.next_field().await.map_err(|error| broken(&error))?;
    let part = part.ok_or_else(|| broken(&"no second part with the file"))?;
    let mime_type = part.content_type().map(ToString::to_string);
    let about = InHeaders { mime_type: mime_type.as_deref(), ..InHeaders::default() };
    let file = announced(metadata, &about).map_err(invalid_payload)?;
    Ok(done(&at_once(app, owner, file, part.map_err(axum::Error::new)).await?, base))
}

async fn read_metadata(part: &mut multer::Field<'_>) -> Result<Value, ApiError> {
    let mut text = Vec::new();
    let broken = |error: multer::Error| ApiError::invalid(format!("Malformed body: {error}."));
    while let Some(piece) = part.chunk().await.map_err(broken)? {
        text.extend_from_slice(&piece);
        if text.len() > MAX_METADATA_BYTES {
            let why = format!("File metadata is limited to {MAX_METADATA_BYTES} bytes.");
            return Err(ApiError::invalid(why));
        }
    }
    serde_json::from_slice(&text)
        .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received: {error}.")))
}

pub fn boundary(kind: &str) -> Option<String> {
    let mut parameters = kind.split(';').map(str::trim);
    parameters.next().filter(|name| name.to_ascii_lowercase().starts_with("multipart/"))?;
    let boundary = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then(|| value.trim_matches('"').to_owned())
    });
    boundary.filter(|boundary| !boundary.is_empty())
}
