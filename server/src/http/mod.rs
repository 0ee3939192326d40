//! The table of URLs.

mod auth;
mod base;
mod body;
mod browser;
mod catalogue;
mod credentials;
mod document;
mod error;
mod execute;
mod fault;
mod faults;
mod files;
#[cfg(test)]
mod fuzz;
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
use axum::routing::{MethodRouter, get, post};
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
    let has_no_keys = door.keys.are_none();
    let service = CatchPanicLayer::custom(error::panicked).layer(router(app, door));
    let service = middleware::from_fn(error::render).layer(service);
    let service = middleware::from_fn(name_request).layer(service);
    let service = browser::packing().layer(service);
    // Outermost: a browser asks who may ask without a key, and reads no error without an answer.
    let service = browser::origins(has_no_keys).layer(service);
    Service::new(service.map_response(|response| browser::as_it_says(response.into_response())))
}

/// A path, and what is served there.
type Route = (String, MethodRouter<App>);

/// What is served below each version.
fn api() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/interactions", post(interactions::create)),
        (
            "/interactions/{id}",
            get(interactions::get).delete(interactions::delete).post(interactions::call),
        ),
        ("/interactions/{id}/cancel", post(interactions::cancel)),
        ("/models", get(models::list)),
        (
            "/models/{*rest}",
            get(models::get).post(models::call).patch(models::change).delete(models::change),
        ),
        ("/tunedModels", get(models::list_tuned)),
        ("/files", get(files::list)),
        ("/files:register", post(files::register)),
        ("/files/{*rest}", get(files::get).delete(files::delete)),
    ]
}

/// What is served to those who have a key, but for what is below a version.
fn routes() -> Vec<Route> {
    let uploads = VERSIONS.map(|version| {
        (format!("{UPLOADS}{version}/files"), post(upload::upload).put(upload::upload))
    });
    let ours = [
        ("/x/isolation", get(health::isolation)),
        ("/x/execute", post(execute::execute)),
        ("/x/journal", get(journal::read)),
        ("/x/reset", post(journal::reset)),
        ("/x/faults", get(faults::read).post(faults::order).delete(faults::remove)),
        ("/x/scenarios", get(scenarios::list).post(scenarios::add).delete(scenarios::remove)),
    ];
    let ours = ours.into_iter().map(|(path, handlers)| (path.to_owned(), handlers));
    uploads.into_iter().chain(ours).collect()
}

/// What is served to everybody: whoever looks after the server has no key, and the document is no
/// secret.
fn keyless() -> Vec<Route> {
    let routes = [
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/openapi.json", get(document::get)),
        ("/docs", get(document::page::page)),
        ("/docs/{file}", get(document::page::file)),
    ];
    routes.into_iter().map(|(path, handlers)| (path.to_owned(), handlers)).collect()
}

fn router(app: App, door: Door) -> Router {
    let add = |router: Router<App>, (path, handlers): Route| router.route(&path, handlers);
    let faults = middleware::from_fn_with_state(Arc::clone(&app.faults), fault::apply);
    let api = api().into_iter().map(|(path, handlers)| (path.to_owned(), handlers));
    let api = api.fold(Router::new(), add);
    // Everybody is let in without being looked at.
    let api = match door.visitors {
        Visitors::Everybody => api,
        Visitors::ThisMachine => api.layer(middleware::from_fn(visitors::check)),
    };
    let api = api.layer(faults);
    let mut router = routes().into_iter().fold(Router::new(), add);
    for version in VERSIONS {
        router = router.nest(&format!("/{version}"), api.clone());
    }
    let router = router
        .layer(DefaultBodyLimit::max(door.request_bytes))
        .layer(middleware::from_fn_with_state(door.keys, auth::check));
    keyless().into_iter().fold(router, add).with_state(app)
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
