//! Uploads of files: resumable in chunks, or in one request.
//!
//! ```text
//! start ──▶ upload URL ──▶ upload, upload, … ──▶ upload, finalize ──▶ a file
//!                              └── query returns the progress, cancel deletes it
//! ```
//!
//! The URL contains the upload's id, which cannot be guessed: Python's SDK sends no key with the chunks.

mod command;
mod description;
mod file_search;
mod multipart;

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _};
use serde_json::json;

use command::Commands;
use multipart::multipart;

use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::Body;
use crate::http::extract::external_url::ExternalUrl;
use crate::http::extract::query::UploadParameters;
use crate::http::middleware::auth::Claimed;
use crate::http::response::json::json;
use crate::http::route::Route;
use crate::http::wire::file::{InHeaders, announced, to_json};
use crate::http::{App, UPLOAD_STATUS};
use store::{Announced, Files, Owner, Receiving, StoredFile, UploadError, UploadState};

/// Idle timeout of an upload's body.
const PIECE_WITHIN: Duration = Duration::from_secs(120);
/// Maximum size of the body of an upload in addition to its file.
const MAX_AROUND_BYTES: u64 = 128 << 10;
/// The real service requires chunks to be a multiple of this. This server accepts any length.
const GRANULARITY: &str = "262144";

pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/files", upload, description::operation("uploadFile")),
        Route::put("/files", upload, description::operation("uploadFileByPut")),
        Route::post(
            "/fileSearchStores/{id}",
            file_search::upload,
            description::into_file_search_store(),
        ),
    ]
}

pub async fn upload(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Extension(claimed): Extension<Claimed>,
    base: ExternalUrl,
    query: UploadParameters,
    request: Request,
) -> Result<Response, ApiError> {
    let announced = number(request.headers(), CONTENT_LENGTH.as_str())?.unwrap_or_default();
    app.files.allows(announced.saturating_sub(MAX_AROUND_BYTES))?;
    if let Some(id) = query.id {
        return go_on(&app, &claimed, &base, &id, request).await;
    }
    let protocol = header(request.headers(), "x-goog-upload-protocol").map(str::to_owned);
    match protocol.or(query.protocol).as_deref() {
        Some("resumable") => start(&app, &owner, &base, request).await,
        Some("raw" | "media") => raw(&app, &owner, &base, request).await,
        Some("multipart") => multipart(&app, &owner, &base, request).await,
        _ => Err(ApiError::invalid(
            "Missing upload protocol: send 'X-Goog-Upload-Protocol: resumable', 'raw' or 'multipart'.",
        )),
    }
}

async fn start(
    app: &App,
    owner: &Owner,
    base: &ExternalUrl,
    request: Request,
) -> Result<Response, ApiError> {
    must_start(request.headers())?;
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let Body(body) = Body::or_empty(request).await?;
    let file = announced(body, &about(&headers)?).map_err(invalid_payload)?;
    begun(app, owner, base, file, &format!("{path}?")).await
}

/// Begins an upload. `place` is the beginning of its URL, up to the parameters.
async fn begun(
    app: &App,
    owner: &Owner,
    base: &ExternalUrl,
    file: Announced,
    place: &str,
) -> Result<Response, ApiError> {
    let id = app.files.begin(owner, file).await?;
    let url = base.join(&format!("{place}upload_id={id}&upload_protocol=resumable"));
    let url = HeaderValue::try_from(url).map_err(ApiError::internal)?;
    Ok([
        (HeaderName::from_static("x-goog-upload-url"), url.clone()),
        (HeaderName::from_static("x-goog-upload-control-url"), url),
        (
            HeaderName::from_static("x-goog-upload-chunk-granularity"),
            HeaderValue::from_static(GRANULARITY),
        ),
        (UPLOAD_STATUS, HeaderValue::from_static("active")),
    ]
    .into_response())
}

fn must_start(headers: &HeaderMap) -> Result<(), ApiError> {
    if Commands::of(headers)? == Commands::START {
        return Ok(());
    }
    Err(ApiError::invalid("An upload must start with 'X-Goog-Upload-Command: start'."))
}

/// What a request for an upload led to.
enum UploadProgress {
    Done { owner: Owner, file: StoredFile },
    Answer(Response),
}

async fn go_on(
    app: &App,
    claimed: &Claimed,
    base: &ExternalUrl,
    id: &str,
    request: Request,
) -> Result<Response, ApiError> {
    match advance(app, claimed, id, request).await? {
        UploadProgress::Done { file, .. } => Ok(done(&file, base)),
        UploadProgress::Answer(answer) => Ok(answer),
    }
}

/// A chunk, or a query of an upload's state. The upload's id authorizes the request, unless it has the
/// key of another tenant.
async fn advance(
    app: &App,
    Claimed(claimed): &Claimed,
    id: &str,
    request: Request,
) -> Result<UploadProgress, ApiError> {
    let commands = Commands::of(request.headers())?;
    if commands == Commands::START {
        return Err(ApiError::invalid("This upload has already started."));
    }
    let offset = number(request.headers(), "x-goog-upload-offset")?;
    let mut receiving = match app.files.progress(claimed.as_ref(), id).await? {
        // The client has missed the final response.
        UploadState::Done(owner, file) => return Ok(UploadProgress::Done { owner, file }),
        UploadState::Receiving(receiving) => receiving,
    };
    if commands == Commands::QUERY {
        return Ok(UploadProgress::Answer(status("active", receiving.received())));
    }
    if commands == Commands::CANCEL {
        let received = receiving.received();
        receiving.cancel().await?;
        return Ok(UploadProgress::Answer(status("cancelled", received)));
    }
    if commands.upload {
        let place = offset.unwrap_or_else(|| receiving.received());
        receiving.resume_at(place).await?;
        let pieces = request.into_body().into_data_stream();
        receiving = receive(receiving, pieces).await?;
    }
    if commands.finalize {
        let owner = receiving.owner().clone();
        let file = receiving.finish().await?;
        app.metrics.parts.requests.uploaded(file.bytes);
        return Ok(UploadProgress::Done { owner, file });
    }
    Ok(UploadProgress::Answer(status("active", receiving.received())))
}

/// The body is only the file.
async fn raw(
    app: &App,
    owner: &Owner,
    base: &ExternalUrl,
    request: Request,
) -> Result<Response, ApiError> {
    let mut about = about(request.headers())?;
    about.mime_type = about.mime_type.or_else(|| header(request.headers(), CONTENT_TYPE.as_str()));
    about.bytes = match about.bytes {
        Some(bytes) => Some(bytes),
        None => number(request.headers(), CONTENT_LENGTH.as_str())?,
    };
    let file = announced(json!({}), &about).map_err(invalid_payload)?;
    let pieces = request.into_body().into_data_stream();
    Ok(done(&at_once(app, owner, file, pieces).await?, base))
}

/// An upload in one request.
async fn at_once(
    app: &App,
    owner: &Owner,
    file: Announced,
    pieces: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
) -> Result<StoredFile, ApiError> {
    let id = app.files.begin(owner, file).await?;
    let mut upload = UnnamedUpload { files: Some(app.files.clone()), owner: owner.clone(), id };
    let state = app.files.progress(Some(owner), &upload.id).await?;
    let UploadState::Receiving(receiving) = state else { return Err(UploadError::Unknown.into()) };
    let done = match receive(receiving, pieces).await {
        Ok(receiving) => receiving.finish().await.map_err(ApiError::from),
        Err(error) => Err(error),
    };
    let files = upload.files.take();
    match (&done, files) {
        (Ok(file), _) => app.metrics.parts.requests.uploaded(file.bytes),
        (Err(_), Some(files)) => cancel(&files, owner, &upload.id).await,
        (Err(_), None) => {}
    }
    done
}

/// An upload whose id no client knows, so that none could resume it: it is cancelled if the client disconnects.
struct UnnamedUpload {
    /// `None` once the request has ended.
    files: Option<Files>,
    owner: Owner,
    id: String,
}

impl Drop for UnnamedUpload {
    fn drop(&mut self) {
        if let Some(files) = self.files.take() {
            let (owner, id) = (self.owner.clone(), std::mem::take(&mut self.id));
            tokio::spawn(async move { cancel(&files, &owner, &id).await });
        }
    }
}

async fn cancel(files: &Files, owner: &Owner, id: &str) {
    if let Ok(UploadState::Receiving(receiving)) = files.progress(Some(owner), id).await
        && let Err(error) = receiving.cancel().await
    {
        tracing::warn!(%error, "could not cancel an upload");
    }
}

/// Writes the data as it arrives. Data before a failure is kept, unless the data is invalid.
async fn receive(
    mut receiving: Receiving,
    mut pieces: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
) -> Result<Receiving, ApiError> {
    let silent = |_| {
        let seconds = PIECE_WITHIN.as_secs();
        ApiError::invalid(format!("No data of the body arrived for {seconds} s."))
    };
    loop {
        let piece = tokio::time::timeout(PIECE_WITHIN, pieces.next()).await.map_err(silent);
        let piece = match piece {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => break,
            broken => {
                receiving.flush().await?;
                broken?;
                return Err(ApiError::invalid("The body ended early."));
            }
        };
        match receiving.write(&piece).await {
            Ok(()) => {}
            Err(error @ (UploadError::TooLarge(_) | UploadError::WrongSize { .. })) => {
                receiving.cancel().await?;
                return Err(error.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    receiving.flush().await?;
    Ok(receiving)
}

fn about(headers: &HeaderMap) -> Result<InHeaders<'_>, ApiError> {
    Ok(InHeaders {
        mime_type: header(headers, "x-goog-upload-header-content-type"),
        bytes: number(headers, "x-goog-upload-header-content-length")?,
        file_name: header(headers, "x-goog-upload-file-name"),
    })
}

/// Parses all headers of an upload, for the fuzz test.
#[cfg(test)]
pub fn headers_read(headers: &HeaderMap) {
    let _ = Commands::of(headers);
    let kind = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let _ = (number(headers, "x-goog-upload-offset"), multipart::boundary(kind));
    if let Ok(about) = about(headers) {
        let _ = announced(json!({}), &about);
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, ApiError> {
    let wrong = || ApiError::invalid(format!("Invalid value for '{name}': not a number of bytes."));
    header(headers, name).map(|text| text.parse().map_err(|_| wrong())).transpose()
}

fn status(word: &'static str, received: u64) -> Response {
    [
        (UPLOAD_STATUS, HeaderValue::from_static(word)),
        (HeaderName::from_static("x-goog-upload-size-received"), HeaderValue::from(received)),
    ]
    .into_response()
}

fn done(file: &StoredFile, base: &ExternalUrl) -> Response {
    let file_json = json(&json!({"file": to_json(file, base)}));
    (status("final", file.bytes).headers().clone(), file_json).into_response()
}
