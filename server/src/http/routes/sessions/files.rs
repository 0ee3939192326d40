//! `/x/sessions/{id}/files`: files in the work directory of a session.

use axum::body::Body as HttpBody;
use axum::extract::{Extension, Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::id;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::RawBody;
use crate::http::extract::query::Parameters;
use crate::http::openapi::parameter::in_path;
use crate::http::openapi::schema::NOTHING;
use crate::http::openapi::{BELLJAR, Operation};
use crate::http::response::json::json as answer;
use crate::http::route::Route;
use crate::http::sessions::file_list;
use crate::http::sessions::openapi::{SESSION_FILE, SESSION_FILES};
use domain::owner::Owner;

/// Size of the parts in which a file is read.
const PART_BYTES: u64 = 1 << 20;
const BINARY: &str = "application/octet-stream";

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, BELLJAR, summary);
    let of_file = |operation: Operation| {
        let file = in_path(
            "file",
            json!({"type": "string", "description": "Its path. May have slashes."}),
        );
        operation.at("/x/sessions/{id}/files/{file}").with([id(), file])
    };
    let binary = || json!({"type": "string", "format": "binary"});
    vec![
        Route::get(
            "/x/sessions/{id}/files",
            list,
            new("listSessionFiles", "Lists the files in a session's work directory")
                .with([id()])
                .answers(&SESSION_FILES),
        ),
        Route::get(
            "/x/sessions/{id}/files/{*rest}",
            read,
            of_file(new("readSessionFile", "Returns a file of a session"))
                .answers_as(BINARY, move |_| binary()),
        ),
        Route::put(
            "/x/sessions/{id}/files/{*rest}",
            write,
            of_file(new("writeSessionFile", "Writes a file of a session"))
                .takes_as(BINARY, move |_| binary())
                .body_is_optional()
                .answers(&SESSION_FILE),
        ),
        Route::delete(
            "/x/sessions/{id}/files/{*rest}",
            delete,
            of_file(new("deleteSessionFile", "Deletes a file or an empty folder of a session"))
                .answers(&NOTHING),
        ),
    ]
}

async fn list(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: Parameters,
) -> Result<Response, ApiError> {
    let files = app.sessions.find(&owner, &id)?.list_files().await?;
    Ok(answer(&file_list(&files)))
}

/// Sends a file in parts, between which the session can be used. A file that changes meanwhile is cut off.
async fn read(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path((id, path)): Path<(String, String)>,
    _: Parameters,
) -> Result<Response, ApiError> {
    let session = app.sessions.find(&owner, &id)?;
    let budget = app.sandbox.budget().of(&owner);
    let part = usize::try_from(PART_BYTES).unwrap_or(usize::MAX);
    let memory = budget.take(part).ok_or_else(ApiError::no_memory)?;
    let first = session.read_file(path.clone(), 0, PART_BYTES).await?;
    let (total_bytes, version) = (first.total_bytes, first.version);
    let parts = async_stream::stream! {
        let _memory = memory;
        let mut sent = first.data.len() as u64;
        yield Ok(first.data);
        while sent < total_bytes {
            let part = session.read_file(path.clone(), sent, PART_BYTES).await;
            match part {
                Ok(part) if part.version == version && !part.data.is_empty() => {
                    sent += part.data.len() as u64;
                    yield Ok(part.data);
                }
                _ => {
                    yield Err(std::io::Error::other("the file has changed, or its session has ended"));
                    return;
                }
            }
        }
    };
    let headers = [
        (CONTENT_TYPE, BINARY.to_owned()),
        (CONTENT_DISPOSITION, "attachment".to_owned()),
        (CONTENT_LENGTH, total_bytes.to_string()),
    ];
    Ok((headers, HttpBody::from_stream(parts)).into_response())
}

async fn write(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path((id, path)): Path<(String, String)>,
    _: Parameters,
    RawBody(content): RawBody,
) -> Result<Response, ApiError> {
    let session = app.sessions.find(&owner, &id)?;
    let bytes = content.len();
    session.write_file(path.clone(), content).await?;
    let written: Value = json!({"path": path, "bytes": bytes});
    Ok(answer(&written))
}

async fn delete(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path((id, path)): Path<(String, String)>,
    _: Parameters,
) -> Result<Response, ApiError> {
    app.sessions.find(&owner, &id)?.delete_file(path).await?;
    Ok(answer(&json!({})))
}
