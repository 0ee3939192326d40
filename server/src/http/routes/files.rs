//! `/files`: uploaded files.

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde_json::json;

use crate::http::App;
use crate::http::batches::operation::{results_file, time as time_of};
use crate::http::batches::results::download;
use crate::http::error::{ApiError, Code};
use crate::http::extract::external_url::ExternalUrl;
use crate::http::extract::pagination::Page;
use crate::http::extract::query::GoogleApiQuery;
use crate::http::openapi::parameter::{in_path, page, version};
use crate::http::openapi::schema::{
    NOTHING, Schema, answer, base64, list as list_of, only, or_number, text, time, word,
};
use crate::http::openapi::{FILES, Operation};
use crate::http::response::json::json;
use crate::http::route::Route;
use crate::http::wire::file::to_json;
use crate::http::wire::proto;
use domain::owner::Owner;

/// Google's page sizes.
const DEFAULT_PAGE: usize = 10;
const MAX_PAGE: usize = 100;

pub static FILE: Schema = Schema::new("File", |_| {
    let fields = json!({
        "name": text("`files/` and the id."),
        "displayName": {"type": "string"},
        "mimeType": {"type": "string"},
        "sizeBytes": {"type": "string", "pattern": "^[0-9]+$"},
        "createTime": time("With a precision of milliseconds."),
        "updateTime": time("With a precision of milliseconds."),
        "expirationTime": time("When the file is deleted."),
        "sha256Hash": base64("Base64 of the hash's hexadecimal digits."),
        "uri": {"type": "string"},
        "state": or_number(only("ACTIVE")),
        "source": or_number(word(&["UPLOADED", "GENERATED"])),
        "downloadUri": text("Of results of a batch."),
    });
    let of_uploads = ["displayName", "sizeBytes", "expirationTime", "sha256Hash", "downloadUri"];
    answer(&of_uploads, fields)
});

static LISTED: Schema = Schema::new("Files", |schemas| {
    let fields =
        json!({"files": list_of(schemas.named(&FILE)), "nextPageToken": {"type": "string"}});
    answer(&["files", "nextPageToken"], fields)
});

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, FILES, summary).with([version()]);
    let id = || in_path("file", json!({"type": "string", "pattern": "^[a-z0-9-]{1,40}$"}));
    vec![
        Route::get(
            "/files",
            list,
            new("listFiles", "Lists the files of this API key").with(page()).answers(&LISTED),
        ),
        Route::get(
            "/files/{*rest}",
            get,
            new("getFile", "Returns the metadata of a file")
                .at("/files/{file}")
                .with([id()])
                .answers(&FILE),
        ),
        Route::delete(
            "/files/{*rest}",
            delete,
            new("deleteFile", "Deletes a file").at("/files/{file}").with([id()]).answers(&NOTHING),
        ),
        Route::post(
            "/files:register",
            register,
            new("registerFiles", "Not supported: upload files instead"),
        ),
    ]
}

pub async fn list(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    base: ExternalUrl,
    GoogleApiQuery { page, enum_numbers, .. }: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let size = page.size(DEFAULT_PAGE, MAX_PAGE);
    let after = page.after.as_deref().unwrap_or_default();
    let found = app.files.list(&owner, after, size + 1).await?;
    let mut body = Page::of("files", &found, size, |file| to_json(file, &base), |file| &file.id);
    if enum_numbers {
        proto::with_numbers(&mut body);
    }
    Ok(json(&body))
}

pub async fn get(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    base: ExternalUrl,
    Path(rest): Path<String>,
    query: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let id = id_of(&rest);
    if let Some(id) = id.strip_prefix("batch-") {
        return of_batch(&app, &owner, &base, id).await;
    }
    if id.ends_with(":download") {
        return Err(ApiError::invalid(
            "Only generated files can be downloaded, not uploaded ones.",
        ));
    }
    let file = app.files.find(&owner, id).await?.ok_or_else(|| ApiError::no_file(id))?;
    let mut body = to_json(&file, &base);
    if query.enum_numbers {
        proto::file_with_numbers(&mut body);
    }
    Ok(json(&body))
}

/// The results of a batch, as a file that is made when it is read.
async fn of_batch(
    app: &App,
    owner: &Owner,
    base: &ExternalUrl,
    id: &str,
) -> Result<Response, ApiError> {
    let (id, is_download) = match id.strip_suffix(":download") {
        Some(id) => (id, true),
        None => (id, false),
    };
    let found = app.store.batches().find(owner, id).await?;
    let batch = found.filter(|batch| batch.is_file && batch.state.has_ended());
    let batch = batch.ok_or_else(|| ApiError::no_file(&format!("batch-{id}")))?;
    if is_download {
        return Ok(download(app.clone(), batch, app.sandbox.budget().of(owner)));
    }
    let name = results_file(id);
    let uri = base.join(&format!("/v1beta/{name}"));
    Ok(json(&json!({
        "name": name,
        "mimeType": "application/jsonl",
        "createTime": time_of(batch.created),
        "updateTime": time_of(batch.updated),
        "uri": uri,
        "downloadUri": format!("{uri}:download?alt=media"),
        "state": "ACTIVE",
        "source": "GENERATED",
    })))
}

pub async fn delete(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(rest): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let id = id_of(&rest);
    if app.files.delete(&owner, id).await? {
        Ok(json(&json!({})))
    } else {
        Err(ApiError::no_file(id))
    }
}

/// Registration of files in cloud storage.
pub async fn register(_: GoogleApiQuery) -> ApiError {
    ApiError::new(Code::NotFound, "Files cannot be registered with this server. Upload them.")
}

/// Accepts `abc`, `files/abc` and the whole URL: the SDKs shorten URLs only if they begin with
/// `https`.
pub fn id_of(rest: &str) -> &str {
    rest.rsplit_once("files/").map_or(rest, |(_, id)| id)
}
