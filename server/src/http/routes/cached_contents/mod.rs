//! `/cachedContents`: the beginnings of conversations, stored once for many requests.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::json;

use crate::http::App;
use crate::http::cached_contents::answer::to_json;
use crate::http::cached_contents::openapi::{
    CACHED_CONTENT, CACHED_CONTENTS, CREATE_CACHE, UPDATE_CACHE,
};
use crate::http::cached_contents::request::{self, CreateCache, Expiry};
use crate::http::cached_contents::resolve::not_found;
use crate::http::error::{ApiError, Code, invalid_payload};
use crate::http::extract::body::{Body, aside};
use crate::http::extract::pagination::Page;
use crate::http::extract::query::GoogleApiQuery;
use crate::http::generate_content::content;
use crate::http::generate_content::request::of_model;
use crate::http::openapi::parameter::{in_path, in_query, page, version};
use crate::http::openapi::schema::{NOTHING, text};
use crate::http::openapi::{CACHES, Operation};
use crate::http::response::json::json as answer;
use crate::http::route::Route;
use crate::http::routes::models::known;
use crate::http::routes::vertex::VertexPlace;
use crate::http::vertex::Dialect;
use domain::ids;
use parse::json::JsonSize;
use store::{self, CachedContent, MAX_CACHED_BYTES, MAX_CACHED_CONTENTS, Owner};

/// Google's page sizes.
const PAGE: (usize, usize) = (50, 1000);
/// Maximum size of one cached content. Larger files are uploaded, and named in it.
const MAX_BYTES: usize = 32 << 20;

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, CACHES, summary).with([version()]);
    let [create_one, list_all, get_one, update_one, delete_one] = operations(new);
    vec![
        Route::post("/cachedContents", create, create_one),
        Route::get("/cachedContents", list, list_all),
        Route::get("/cachedContents/{id}", get, get_one),
        Route::patch("/cachedContents/{id}", update, update_one),
        Route::delete("/cachedContents/{id}", delete, delete_one),
    ]
}

/// The operations of a place of Vertex AI, each with its method.
pub fn vertex_operations(place: &VertexPlace) -> Vec<(&'static str, Operation)> {
    if !place.has_cached_contents() {
        return Vec::new();
    }
    let methods = ["post", "get", "get", "patch", "delete"];
    let new = |id: &'static str, summary| place.operation(id, CACHES, summary);
    methods.into_iter().zip(operations(new)).collect()
}

fn operations(new: impl Fn(&'static str, &'static str) -> Operation) -> [Operation; 5] {
    let id = || in_path("id", json!({"type": "string", "pattern": "^[a-z0-9]{1,40}$"}));
    [
        new("createCachedContent", "Stores the beginning of conversations")
            .at("/cachedContents")
            .takes(&CREATE_CACHE)
            .answers(&CACHED_CONTENT),
        new("listCachedContents", "Lists the cached contents of this API key")
            .at("/cachedContents")
            .with(page())
            .answers(&CACHED_CONTENTS),
        new("getCachedContent", "Returns a cached content without its content")
            .at("/cachedContents/{id}")
            .with([id()])
            .answers(&CACHED_CONTENT),
        new("updateCachedContent", "Changes when a cached content expires")
            .at("/cachedContents/{id}")
            .with([id(), in_query("updateMask", text("`ttl` or `expireTime`."))])
            .takes(&UPDATE_CACHE)
            .answers(&CACHED_CONTENT),
        new("deleteCachedContent", "Deletes a cached content")
            .at("/cachedContents/{id}")
            .with([id()])
            .answers(&NOTHING),
    ]
}

async fn create(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    dialect: Dialect,
    _: GoogleApiQuery,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let service = dialect.clone();
    let read = aside(body, move |body| request::create(body, &service));
    let CreateCache { model, display_name, expiry, content, prefix } =
        read.await.map_err(invalid_payload)?;
    known(&app, &dialect, &model, "createCachedContent")?;
    let bytes = JsonSize::of(&content).memory_bytes();
    if bytes > MAX_BYTES {
        return Err(ApiError::invalid(format!(
            "A cached content can have at most {} MiB. Upload large files, and name them in it.",
            MAX_BYTES >> 20
        )));
    }
    let input = content::steps(prefix.turns).map_err(invalid_payload)?;
    let mut request = of_model(&model, input);
    request.system_instruction = prefix.instruction;
    request.owner = owner.clone();
    let tokens = app.engine.count_tokens(&request).await?;
    let now = store::now();
    let cached = CachedContent {
        id: ids::cached_content(),
        model,
        display_name,
        created: now,
        updated: now,
        expires: expires(expiry, now)?,
        tokens,
        bytes: bytes as u64,
    };
    let body = to_json(&cached, &dialect);
    let content: Arc<str> = content.to_string().into();
    if app.store.cached_contents().create(&owner, cached, content).await? {
        return Ok(answer(&body));
    }
    let why = format!(
        "One key can have {MAX_CACHED_CONTENTS} cached contents with {} MiB in total. Delete some.",
        MAX_CACHED_BYTES >> 20
    );
    Err(ApiError::new(Code::ResourceExhausted, why))
}

async fn list(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    dialect: Dialect,
    GoogleApiQuery { page, .. }: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let (default, most) = PAGE;
    let size = page.size(default, most);
    let after = page.after.as_deref().unwrap_or_default();
    let caches = app.store.cached_contents();
    let found = caches.list(&owner, after, size + 1, store::now()).await?;
    let to_json = |cached: &CachedContent| to_json(cached, &dialect);
    Ok(answer(&Page::of("cachedContents", &found, size, to_json, |cached| &cached.id)))
}

async fn get(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    dialect: Dialect,
    Path(id): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    Ok(answer(&to_json(&find(&app, &owner, &id, &dialect).await?, &dialect)))
}

async fn update(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    dialect: Dialect,
    Path(id): Path<String>,
    _: GoogleApiQuery,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let expiry = request::update(body).map_err(invalid_payload)?;
    let now = store::now();
    let expires = expires(expiry, now)?;
    let cached = find(&app, &owner, &id, &dialect).await?;
    if !app.store.cached_contents().extend(&owner, &id, now, expires).await? {
        return Err(not_found(&id, &dialect));
    }
    Ok(answer(&to_json(&CachedContent { updated: now, expires, ..cached }, &dialect)))
}

async fn delete(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    dialect: Dialect,
    Path(id): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    // One that has expired may still be stored.
    let cached = find(&app, &owner, &id, &dialect).await?;
    if app.store.cached_contents().delete(&owner, &cached.id).await? {
        Ok(answer(&json!({})))
    } else {
        Err(not_found(&id, &dialect))
    }
}

async fn find(
    app: &App,
    owner: &Owner,
    id: &str,
    dialect: &Dialect,
) -> Result<CachedContent, ApiError> {
    let found = app.store.cached_contents().find(owner, id, store::now()).await?;
    found.ok_or_else(|| not_found(id, dialect))
}

fn expires(expiry: Expiry, now: Timestamp) -> Result<Timestamp, ApiError> {
    expiry.time(now).ok_or_else(|| ApiError::invalid("The expiration must be in the future."))
}
