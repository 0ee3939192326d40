//! Uploads into file search stores: as uploads of files, of which documents are made at the end.
//!
//! What the document needs is in the URL of the upload, as the upload's id is.

use axum::extract::{Extension, Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{UploadProgress, about, advance, begun, must_start, status};
use crate::http::App;
use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::Body;
use crate::http::extract::external_url::ExternalUrl;
use crate::http::extract::query::UploadParameters;
use crate::http::file_search::answer::{Origin, not_found, operation, store_name};
use crate::http::file_search::ingest::{ingest, kind};
use crate::http::file_search::request::{self, DocumentConfig};
use crate::http::middleware::auth::Claimed;
use crate::http::response::json::json as respond;
use crate::http::routes::file_search_stores::find;
use crate::http::wire::file::{InHeaders, announced};
use domain::ids;
use store::{Announced, Owner};

/// Digits of the upload's hash in the id of its document.
const ID_DIGITS: usize = 12;

/// `POST /upload/{version}/fileSearchStores/{store}:uploadToFileSearchStore`
pub async fn upload(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Extension(claimed): Extension<Claimed>,
    Path(rest): Path<String>,
    base: ExternalUrl,
    query: UploadParameters,
    request: Request,
) -> Result<Response, ApiError> {
    let Some(store) = rest.strip_suffix(":uploadToFileSearchStore") else {
        return Err(not_found(&store_name(&rest)));
    };
    match query.id {
        Some(id) => {
            let config = query.document.as_deref().map(decoded).transpose()?;
            let config = config.ok_or_else(|| ApiError::invalid("Malformed upload URL."))?;
            go_on(&app, &claimed, &id, (store, config), request).await
        }
        None => {
            find(&app, &owner, store).await?;
            start(&app, &owner, &base, request).await
        }
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
    let encoded = URL_SAFE_NO_PAD.encode(body.to_string());
    let file = file_of(&request::upload(body).map_err(invalid_payload)?, &headers)?;
    kind(&file.mime_type, file.display_name.as_deref().unwrap_or_default())?;
    let place = format!("{path}?document={encoded}&");
    begun(app, owner, base, file, &place).await
}

/// The file that is announced in the configuration of a document, or in the headers.
fn file_of(config: &DocumentConfig, headers: &HeaderMap) -> Result<Announced, ApiError> {
    let headers = about(headers)?;
    let name = config.display_name.as_deref().or(headers.file_name);
    // The type in the body counts: Python's SDK sends a guess in the header.
    let mime_type = config.mime_type.as_deref().or(headers.mime_type);
    let mut file = json!({});
    if let Some(name) = name {
        file["displayName"] = name.into();
    }
    let about = InHeaders { mime_type, ..headers };
    announced(json!({"file": file}), &about).map_err(invalid_payload)
}

async fn go_on(
    app: &App,
    claimed: &Claimed,
    id: &str,
    (store, config): (&str, DocumentConfig),
    request: Request,
) -> Result<Response, ApiError> {
    let (owner, file) = match advance(app, claimed, id, request).await? {
        UploadProgress::Done { owner, file } => (owner, file),
        UploadProgress::Answer(answer) => return Ok(answer),
    };
    let name = config.display_name.as_deref().or(file.display_name.as_deref()).unwrap_or_default();
    // The same each time: a client that missed the response asks again.
    let digits = &hex::encode(Sha256::digest(id))[..ID_DIGITS];
    let document = ids::with_slug(name, digits);
    let document = ingest(app, &owner, store, document, &file, config).await?;
    let body = respond(&operation(store, &document, Origin::Upload));
    Ok((status("final", file.bytes).headers().clone(), body).into_response())
}

fn decoded(text: &str) -> Result<DocumentConfig, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let body =
        parse::json::parse(&bytes).map_err(|_| ApiError::invalid("Malformed upload URL."))?;
    request::upload(body).map_err(invalid_payload)
}
