//! The table of URLs.

mod auth;
mod base;
mod body;
mod browser;
mod catalogue;
mod error;
mod execute;
mod fault;
mod faults;
mod files;
mod generate;
mod health;
mod interactions;
mod journal;
mod models;
mod namespace;
mod page;
mod query;
mod quirk;
mod scenarios;
mod serve;
mod sse;
mod stall;
mod upload;
mod visitors;
mod wire;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use crate::backend::scripted::Additions;
use crate::engine::Engine;
use crate::sandbox::Sandbox;
use crate::store::{Files, Store};

pub use auth::Keys;
pub use catalogue::Catalogue;
pub use fault::Faults;
pub use serve::serve;
pub use visitors::Visitors;

/// All of them are the same API: which one a client calls depends on its age.
const VERSIONS: [&str; 3] = ["v1", "v1beta", "v1alpha"];

const JSON: &str = "application/json; charset=UTF-8";
/// Before the version, where bytes come in.
const UPLOADS: &str = "/upload/";
const UPLOAD_STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What handlers need.
#[derive(Debug, Clone)]
pub struct App {
    pub engine: Arc<Engine>,
    pub store: Store,
    pub sandbox: Arc<Sandbox>,
    pub catalogue: Arc<Catalogue>,
    pub files: Files,
    /// Scenarios that clients brought along.
    pub additions: Arc<Additions>,
    pub faults: Arc<Faults>,
    /// Whether an execution could be served at some time since the start.
    pub was_ready: watch::Receiver<bool>,
    pub stopping: CancellationToken,
}

/// Limits and keys of the front door.
#[derive(Debug, Clone)]
pub struct Door {
    pub keys: Keys,
    pub request_bytes: usize,
    /// How long a client may take nothing of its answer.
    pub stalled_after: Duration,
    pub visitors: Visitors,
}

/// What answers requests.
pub type Service = BoxCloneSyncService<Request, Response, Infallible>;

/// Everything that is served. What is the same for all of it lies around the router: a layer of the
/// router would be there, and be copied for each request, once for every other one inside it.
pub fn service(app: App, door: Door) -> Service {
    let keyless = door.keys.are_none();
    let service = CatchPanicLayer::custom(error::panicked).layer(router(app, door));
    let service = middleware::from_fn(error::render).layer(service);
    let service = middleware::from_fn(name_request).layer(service);
    let service = browser::packing().layer(service);
    // Outermost: a browser asks who may ask without a key, and reads no error without an answer.
    let service = browser::origins(keyless).layer(service);
    Service::new(service.map_response(|response| browser::as_it_says(response.into_response())))
}

fn router(app: App, door: Door) -> Router {
    let api = Router::new()
        .route("/interactions", post(interactions::create))
        .route(
            "/interactions/{id}",
            get(interactions::get).delete(interactions::delete).post(interactions::call),
        )
        .route("/interactions/{id}/cancel", post(interactions::cancel))
        .route("/models", get(models::list))
        .route("/models/{*rest}", get(models::get).post(models::call).fallback(models::untouchable))
        .route("/tunedModels", get(models::list_tuned))
        .route("/files", get(files::list))
        .route("/files:register", post(files::register))
        .route("/files/{*rest}", get(files::get).delete(files::delete));
    let uploads = post(upload::upload).put(upload::upload);

    let faults = middleware::from_fn_with_state(Arc::clone(&app.faults), fault::apply);
    // Everybody is let in without being looked at.
    let api = match door.visitors {
        Visitors::Everybody => api,
        Visitors::ThisMachine => api.layer(middleware::from_fn(visitors::check)),
    };
    let mut router = Router::new()
        .route("/x/isolation", get(health::isolation))
        .route("/x/execute", post(execute::execute))
        .route("/x/journal", get(journal::read))
        .route("/x/reset", post(journal::reset))
        .route("/x/faults", get(faults::read).post(faults::order).delete(faults::remove))
        .route("/x/scenarios", post(scenarios::add).delete(scenarios::remove));
    for version in VERSIONS {
        router = router
            .nest(&format!("/{version}"), api.clone().layer(faults.clone()))
            .route(&format!("{UPLOADS}{version}/files"), uploads.clone());
    }
    router
        .layer(DefaultBodyLimit::max(door.request_bytes))
        .layer(middleware::from_fn_with_state(door.keys, auth::check))
        // Whoever looks after the server asks these, and has no key.
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(app)
}

/// Stands in the log and in the answer, so that one can be found with the other.
#[derive(Debug, Clone, Default)]
struct RequestId(String);

async fn name_request(mut request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().simple().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
