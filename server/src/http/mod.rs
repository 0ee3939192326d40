//! The table of URLs.

mod auth;
mod body;
mod error;
mod execute;
mod health;
mod interactions;
mod query;
mod serve;
mod sse;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use uuid::Uuid;

use crate::engine::Engine;
use crate::sandbox::Sandbox;
use crate::store::Store;

pub use auth::Keys;
pub use serve::serve;

/// All of them are the same API: which one a client calls depends on its age.
const VERSIONS: [&str; 3] = ["v1", "v1beta", "v1alpha"];

const JSON: &str = "application/json; charset=UTF-8";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What handlers need.
#[derive(Debug, Clone)]
pub struct App {
    pub engine: Arc<Engine>,
    pub store: Store,
    pub sandbox: Arc<Sandbox>,
    /// Whether an execution could be served at some time since the start.
    pub was_ready: watch::Receiver<bool>,
    pub stopping: CancellationToken,
}

/// Limits and keys of the front door.
#[derive(Debug, Clone)]
pub struct Door {
    pub keys: Keys,
    pub request_bytes: usize,
}

/// Everything that is served.
pub fn router(app: App, door: Door) -> Router {
    let api = Router::new()
        .route("/interactions", post(interactions::create))
        .route("/interactions/{id}", get(interactions::get).delete(interactions::delete));

    let mut router = Router::new()
        .route("/x/isolation", get(health::isolation))
        .route("/x/execute", post(execute::execute));
    for version in VERSIONS {
        router = router.nest(&format!("/{version}"), api.clone());
    }
    router
        .layer(DefaultBodyLimit::max(door.request_bytes))
        .layer(middleware::from_fn_with_state(door.keys, auth::check))
        // Whoever looks after the server asks these, and has no key.
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn(error::render))
        .layer(middleware::from_fn(name_request))
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
