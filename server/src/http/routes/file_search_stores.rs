//! `/fileSearchStores`: documents that models search, and how they come into a store.

use axum::extract::{Extension, FromRequest as _, Path, Request, State};
use axum::response::Response;
use serde_json::json;

use crate::http::App;
use crate::http::error::{ApiError, Code, invalid_payload};
use crate::http::extract::body::Body;
use crate::http::extract::pagination::Page;
use crate::http::extract::query::GoogleApiQuery;
use crate::http::file_search::answer::{
    self, Origin, document_name, not_found, operation, store_name,
};
use crate::http::file_search::ingest::ingest;
use crate::http::file_search::openapi::{
    CREATE, DOCUMENT, DOCUMENTS, IMPORT, OPERATION, STORE, STORES,
};
use crate::http::file_search::request::{self, CreateStore};
use crate::http::openapi::parameter::{in_path, in_query, page, version};
use crate::http::openapi::schema::{NOTHING, flag};
use crate::http::openapi::{FILE_SEARCH, Operation};
use crate::http::response::json::json as respond;
use crate::http::route::Route;
use crate::http::routes::files::id_of;
use domain::ids;
use store::{
    self, FileSearchApplied, FileSearchChange, MAX_FILE_SEARCH_STORES, Owner, StoredDocument,
    StoredFileSearchStore,
};

/// Google's page sizes.
const PAGE: (usize, usize) = (10, 20);

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, FILE_SEARCH, summary).with([version()]);
    let name = |place| in_path(place, json!({"type": "string", "pattern": "^[a-z0-9-]{1,40}$"}));
    let store = |operation: Operation| operation.with([name("id")]);
    let force = || in_query("force", flag("Whether the documents of a store are deleted too."));
    let about_operation = "Returns the operation that made a document, which has ended";
    vec![
        Route::post(
            "/fileSearchStores",
            create,
            new("createFileSearchStore", "Creates a store of documents")
                .takes(&CREATE)
                .body_is_optional()
                .answers(&STORE),
        ),
        Route::get(
            "/fileSearchStores",
            list,
            new("listFileSearchStores", "Lists the file search stores of this API key")
                .with(page())
                .answers(&STORES),
        ),
        Route::get(
            "/fileSearchStores/{id}",
            get,
            store(new("getFileSearchStore", "Returns a file search store")).answers(&STORE),
        ),
        Route::delete(
            "/fileSearchStores/{id}",
            delete,
            store(new("deleteFileSearchStore", "Deletes a file search store"))
                .with([force()])
                .answers(&NOTHING),
        ),
        Route::post(
            "/fileSearchStores/{id}",
            call,
            store(new("importFile", "Adds an uploaded file to a store"))
                .at("/fileSearchStores/{id}:importFile")
                .takes(&IMPORT)
                .answers(&OPERATION),
        ),
        Route::get(
            "/fileSearchStores/{id}/documents",
            documents,
            store(new("listDocuments", "Lists the documents of a store"))
                .with(page())
                .answers(&DOCUMENTS),
        ),
        Route::get(
            "/fileSearchStores/{id}/documents/{document}",
            get_document,
            store(new("getDocument", "Returns a document of a store"))
                .with([name("document")])
                .answers(&DOCUMENT),
        ),
        Route::delete(
            "/fileSearchStores/{id}/documents/{document}",
            delete_document,
            store(new("deleteDocument", "Deletes a document of a store"))
                .with([name("document"), force()])
                .answers(&NOTHING),
        ),
        Route::get(
            "/fileSearchStores/{id}/operations/{operation}",
            imported,
            store(new("getImportOperation", about_operation))
                .with([name("operation")])
                .answers(&OPERATION),
        ),
        Route::get(
            "/fileSearchStores/{id}/upload/operations/{operation}",
            uploaded,
            store(new("getUploadOperation", about_operation))
                .with([name("operation")])
                .answers(&OPERATION),
        ),
    ]
}

async fn create(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    _: GoogleApiQuery,
    request: Request,
) -> Result<Response, ApiError> {
    let Body(body) = Body::or_empty(request).await?;
    let CreateStore { display_name, embedding_model } =
        request::create(body).map_err(invalid_payload)?;
    let now = store::now();
    let store = StoredFileSearchStore {
        id: ids::file_search(&display_name),
        display_name,
        embedding_model,
        created: now,
        updated: now,
        documents: 0,
        bytes: 0,
    };
    let change = FileSearchChange::Create { owner, store: store.clone() };
    match app.store.file_search_stores().change(change).await? {
        FileSearchApplied::Full => Err(ApiError::new(
            Code::ResourceExhausted,
            format!("One key can have {MAX_FILE_SEARCH_STORES} file search stores. Delete some."),
        )),
        _ => Ok(respond(&answer::store(&store))),
    }
}

async fn list(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    GoogleApiQuery { page, .. }: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let (default, most) = PAGE;
    let size = page.size(default, most);
    let after = page.after.as_deref().unwrap_or_default();
    let found = app.store.file_search_stores().list(&owner, after, size + 1).await?;
    Ok(respond(&Page::of("fileSearchStores", &found, size, answer::store, |store| &store.id)))
}

async fn get(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    is_store(&id)?;
    Ok(respond(&answer::store(&find(&app, &owner, &id).await?)))
}

async fn delete(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    GoogleApiQuery { force, .. }: GoogleApiQuery,
) -> Result<Response, ApiError> {
    is_store(&id)?;
    let change = FileSearchChange::Delete { owner, id: id.clone(), force };
    match app.store.file_search_stores().change(change).await? {
        FileSearchApplied::Done => Ok(respond(&json!({}))),
        FileSearchApplied::NotEmpty => Err(ApiError::new(
            Code::FailedPrecondition,
            "Cannot delete a non-empty FileSearchStore. Delete its documents first, or set 'force'.",
        )),
        FileSearchApplied::Missing | FileSearchApplied::Full => Err(not_found(&store_name(&id))),
    }
}

/// `{id}:importFile`
async fn call(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(rest): Path<String>,
    _: GoogleApiQuery,
    request: Request,
) -> Result<Response, ApiError> {
    let Some((id, "importFile")) = rest.rsplit_once(':') else {
        let why = format!("{} does not have this method.", store_name(&rest));
        return Err(ApiError::method("GET, DELETE", why));
    };
    find(&app, &owner, id).await?;
    let Body(body) = Body::from_request(request, &app).await?;
    let (name, config) = request::import(body).map_err(invalid_payload)?;
    let file = app.files.find(&owner, id_of(&name)).await?;
    let file = file.ok_or_else(|| ApiError::no_file(id_of(&name)))?;
    let document = ids::file_search(file.display_name.as_deref().unwrap_or(&file.id));
    let document = ingest(&app, &owner, id, document, &file, config).await?;
    Ok(respond(&operation(id, &document, Origin::Import)))
}

async fn documents(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    GoogleApiQuery { page, .. }: GoogleApiQuery,
) -> Result<Response, ApiError> {
    find(&app, &owner, &id).await?;
    let (default, most) = PAGE;
    let size = page.size(default, most);
    let after = page.after.as_deref().unwrap_or_default();
    let found = app.store.file_search_stores().documents(&owner, &id, after, size + 1).await?;
    let to_json = |document: &StoredDocument| answer::document(&id, document);
    Ok(respond(&Page::of("documents", &found, size, to_json, |document| &document.id)))
}

async fn get_document(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path((id, document)): Path<(String, String)>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let found = find_document(&app, &owner, (&id, &document)).await?;
    Ok(respond(&answer::document(&id, &found)))
}

async fn delete_document(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path((store, id)): Path<(String, String)>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let name = document_name(&store, &id);
    let change = FileSearchChange::DeleteDocument { owner, store, id, now: store::now() };
    match app.store.file_search_stores().change(change).await? {
        FileSearchApplied::Done => Ok(respond(&json!({}))),
        _ => Err(not_found(&name)),
    }
}

async fn imported(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path((id, document)): Path<(String, String)>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let found = find_document(&app, &owner, (&id, &document)).await?;
    Ok(respond(&operation(&id, &found, Origin::Import)))
}

async fn uploaded(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path((id, document)): Path<(String, String)>,
    _: GoogleApiQuery,
) -> Result<Response, ApiError> {
    let found = find_document(&app, &owner, (&id, &document)).await?;
    Ok(respond(&operation(&id, &found, Origin::Upload)))
}

/// Whether the path is that of a store, and not of one of its methods.
fn is_store(id: &str) -> Result<(), ApiError> {
    if !id.contains(':') {
        return Ok(());
    }
    let why = format!("{} does not support this method.", store_name(id));
    Err(ApiError::method("POST", why))
}

pub async fn find(app: &App, owner: &Owner, id: &str) -> Result<StoredFileSearchStore, ApiError> {
    let found = app.store.file_search_stores().find(owner, id).await?;
    found.ok_or_else(|| not_found(&store_name(id)))
}

async fn find_document(
    app: &App,
    owner: &Owner,
    (store, id): (&str, &str),
) -> Result<StoredDocument, ApiError> {
    let found = app.store.file_search_stores().document(owner, store, id).await?;
    found.ok_or_else(|| not_found(&document_name(store, id)))
}
