//! An upload in one body of several parts.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::{PIECE_WITHIN, at_once, done, header};
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::error::invalid_payload;
use crate::http::extract::external_url::ExternalUrl;
use crate::http::wire::file::{InHeaders, announced};
use domain::owner::Owner;

/// Maximum size of the part with the file's metadata.
const MAX_METADATA_BYTES: usize = 64 << 10;
/// Maximum size of everything before the file: boundaries, headers and metadata.
const MAX_BYTES_BEFORE_FILE: usize = 2 * MAX_METADATA_BYTES;
/// How often the parser asks for more before it has found both parts in what it has.
const LOOKS: usize = 16;

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
    let has_file = AtomicBool::new(false);
    let body = limited(request.into_body().into_data_stream(), &has_file);
    let mut parts = multer::Multipart::new(body, boundary);

    // The file's own pieces have a timeout each.
    let beginning = async {
        let mut first = parts.next_field().await.map_err(|error| broken(&reason(&error)))?;
        let metadata = match &mut first {
            Some(part) => read_metadata(part).await?,
            None => return Err(broken(&"no parts")),
        };
        drop(first);
        let part = parts.next_field().await.map_err(|error| broken(&reason(&error)))?;
        Ok((metadata, part.ok_or_else(|| broken(&"no second part with the file"))?))
    };
    let (metadata, part) = match tokio::time::timeout(PIECE_WITHIN, beginning).await {
        Ok(read) => read?,
        Err(_) => {
            let seconds = PIECE_WITHIN.as_secs();
            return Err(broken(&format!("no file began within {seconds} s")));
        }
    };
    has_file.store(true, Ordering::Relaxed);
    let mime_type = part.content_type().map(ToString::to_string);
    let about = InHeaders { mime_type: mime_type.as_deref(), ..InHeaders::default() };
    let file = announced(metadata, &about).map_err(invalid_payload)?;
    Ok(done(&at_once(app, owner, file, part.map_err(axum::Error::new)).await?, base))
}

/// The body, which ends with an error if too much comes before the file. The parser keeps everything until
/// the next boundary in memory, and takes all that is there before it looks for one: so it gets time to
/// look before the error.
fn limited(
    mut body: BodyDataStream,
    has_file: &AtomicBool,
) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send {
    async_stream::stream! {
        let mut before_file = 0;
        while let Some(piece) = body.next().await {
            before_file += piece.as_ref().map_or(0, Bytes::len);
            yield piece;
            for _ in 0..LOOKS {
                if before_file <= MAX_BYTES_BEFORE_FILE || has_file.load(Ordering::Relaxed) {
                    break;
                }
                tokio::task::yield_now().await;
            }
            if before_file > MAX_BYTES_BEFORE_FILE && !has_file.load(Ordering::Relaxed) {
                let why = format!("no file began within {MAX_BYTES_BEFORE_FILE} bytes");
                yield Err(axum::Error::new(io::Error::other(why)));
                return;
            }
        }
    }
}

/// The library's text for a body that ended with an error does not have that error.
fn reason(error: &multer::Error) -> String {
    match error {
        multer::Error::StreamReadFailed(why) => why.to_string(),
        other => other.to_string(),
    }
}

async fn read_metadata(part: &mut multer::Field<'_>) -> Result<Value, ApiError> {
    let mut text = Vec::new();
    let broken = |error| ApiError::invalid(format!("Malformed body: {}.", reason(&error)));
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
