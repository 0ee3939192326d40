//! `/batches`: many requests that run in the background. They are created at their model.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::http::App;
use crate::http::batches::openapi::{BATCH, BATCHES};
use crate::http::batches::operation::operation;
use crate::http::batches::request::{self, BatchInput, CreateBatch};
use crate::http::batches::results::with_results;
use crate::http::error::{ApiError, Code, invalid_payload};
use crate::http::extract::body::{aside, blocking};
use crate::http::extract::pagination::Page;
use crate::http::extract::query::GoogleApiQuery;
use crate::http::openapi::parameter::{in_path, page, version};
use crate::http::openapi::schema::NOTHING;
use crate::http::openapi::{BATCHES as GROUP, Operation};
use crate::http::response::json::json as answer;
use crate::http::route::Route;
use crate::http::routes::files::id_of;
use domain::ids;
use domain::namespace::Namespace;
use store::{
    self, BatchLine, BatchMethod, BatchState, MAX_BATCH_BYTES, MAX_BATCHES, MAX_OPEN_BATCHES,
    Owner, StoredBatch,
};

/// Google's page sizes.
const PAGE: (usize, usize) = (50, 1000);
/// Maximum size of a file with requests.
const MAX_FILE_BYTES: u64 = 100 << 20;
/// Copies of a file in memory while it is read.
const COPIES: usize = 3;

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, GROUP, summary).with([version()]);
    let id = || in_path("id", json!({"type": "string", "pattern": "^[a-z0-9]{1,40}$"}));
    vec![
        Route::get(
            "/batches",
            list,
            new("listBatches", "Lists the batches of this API key, without results")
                .with(page())
                .answers(&BATCHES),
        ),
        Route::get(
            "/batches/{id}",
            get,
            new("getBatch", "Returns a batch, with its results once it has ended")
                .with([id()])
                .answers(&BATCH),
        ),
        Route::post(
            "/batches/{id}",
            call,
            new("cancelBatch", "Cancels a batch that has not ended")
                .at("/batches/{id}:cancel")
                .with([id()])
                .answers(&NOTHING),
        ),
        Route::delete(
            "/batches/{id}",
            delete,
            new("deleteBatch", "Deletes a batch, which is cancelled if it runs")
                .with([id()])
                .answers(&NOTHING),
        ),
    ]
}

/// `POST /models/{model}:batchGenerateContent` and `:asyncBatchEmbedContent`
pub async fn create(
    app: &App,
    namespace: &Namespace,
    (owner, keys): (Owner, Arc<[SecretString]>),
    (model, method): (&str, BatchMethod),
    body: Value,
) -> Result<Response, ApiError> {
    let name = model.to_owned();
    let CreateBatch { display_name, input } =
        aside(body, move |body| request::create(&name, body)).await.map_err(invalid_payload)?;
    let budget = app.sandbox.budget().of(&owner);
    let (lines, is_file, _memory) = match input {
        BatchInput::Inline(lines) => (lines, false, Default::default()),
        BatchInput::File(name) => {
            let id = id_of(&name).to_owned();
            let file = app.files.find(&owner, &id).await?.ok_or_else(|| ApiError::no_file(&id))?;
            if file.bytes > MAX_FILE_BYTES {
                let most = MAX_FILE_BYTES >> 20;
                let why = format!("A file with requests can have at most {most} MiB.");
                return Err(ApiError::invalid(why));
            }
            let bytes = usize::try_from(file.bytes).unwrap_or(usize::MAX);
            let memory =
                budget.take(bytes.saturating_mul(COPIES)).ok_or_else(ApiError::no_memory)?;
            let content = app.files.content(&file).await?;
            let lines = blocking(move || request::lines(&content)).await?;
            (lines, true, memory)
        }
    };
    let now = store::now();
    let bytes = lines.iter().map(|line| line.bytes() as u64).sum();
    let batch = StoredBatch {
        id: ids::batch(),
        owner,
        namespace: namespace.name().to_owned(),
        model: model.to_owned(),
        method,
        display_name,
        is_file,
        state: BatchState::Pending,
        created: now,
        updated: now,
        ended: None,
        requests: lines.len() as u64,
        succeeded: 0,
        failed: lines.iter().filter(|line| line.response.is_some()).count() as u64,
        request_bytes: bytes,
        response_bytes: 0,
    };
    let begun = operation(&batch, None);
    // A task of its own: a batch is stored whole or not at all, also if the client disconnects.
    let stored = tokio::spawn(begin(app.clone(), batch, lines, keys));
    stored.await.map_err(ApiError::internal)??;
    Ok(answer(&begun))
}

async fn begin(
    app: App,
    batch: StoredBatch,
    lines: Vec<BatchLine>,
    keys: Arc<[SecretString]>,
) -> Result<(), ApiError> {
    if !app.store.batches().create(batch.clone(), lines).await? {
        let most = MAX_BATCH_BYTES >> 20;
        let why = format!(
            "One key can have {MAX_OPEN_BATCHES} unfinished batches, {MAX_BATCHES} in all, and {most} MiB of \
             requests and results. Delete some."
        );
        return Err(ApiError::new(Code::ResourceExhausted, why));
    }
    app.batches.start(&app, batch, keys);
    Ok(())
}

async fn list(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    GoogleApiQuery { page, .. }: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let (default, most) = PAGE;
    let size = page.size(default, most);
    let after = page.after.as_deref().unwrap_or_default();
    let found = app.store.batches().list(&owner, after, size + 1).await?;
    let to_json = |batch: &StoredBatch| operation(batch, None);
    Ok(answer(&Page::of("operations", &found, size, to_json, |batch| &batch.id)))
}

async fn get(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let batch = find(&app, &owner, &id).await?;
    let budget = app.sandbox.budget().of(&owner);
    Ok(with_results(app, batch, budget))
}

/// `POST …/{id}:cancel`
async fn call(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(rest): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let Some((id, "cancel")) = rest.rsplit_once(':') else {
        let why = format!("batches/{rest} does not have this method.");
        return Err(ApiError::method("GET, DELETE", why));
    };
    let batch = find(&app, &owner, id).await?;
    app.batches.cancel(&batch.id);
    app.store.batches().end(&batch.id, BatchState::Cancelled, store::now()).await?;
    Ok(answer(&json!({})))
}

async fn delete(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let batch = find(&app, &owner, &id).await?;
    app.batches.cancel(&batch.id);
    app.store.batches().delete(&owner, &batch.id).await?;
    Ok(answer(&json!({})))
}

async fn find(app: &App, owner: &Owner, id: &str) -> Result<StoredBatch, ApiError> {
    if id.ends_with(":cancel") {
        let why = format!("batches/{id} does not have this method.");
        return Err(ApiError::method("POST", why));
    }
    let found = app.store.batches().find(owner, id).await?;
    found.ok_or_else(|| ApiError::new(Code::NotFound, format!("Batch not found: batches/{id}")))
}
