//! The HTTP server: its state, its settings, and the layers around the router.

mod batches;
mod cached_contents;
mod console;
mod embeddings;
mod error;
mod extract;
mod file_search;
#[cfg(test)]
mod fuzz;
mod generate_content;
mod middleware;
mod openai;
mod openapi;
mod response;
mod route;
mod routes;
mod serve;
mod sessions;
mod surface;
mod vertex;
mod wire;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;

use crate::engine::Engine;
use ::sessions::Sessions;
use metrics::Exposition;
use sandbox_client::Sandbox;
use scenario::AddedScenarios;
use store::{Files, Store};

use extract::namespace::PathPrefix;
use middleware::{cors_and_compression, request_log};
use response::json;

pub use batches::BatchRunner;
pub use extract::body::BodyLimits;
pub use middleware::allowed_clients::AllowedClients;
pub use middleware::auth::Keys;
pub use middleware::control::Control;
pub use middleware::faults::Faults;
pub use middleware::guard::{Hosts, NotAHost};
pub use middleware::in_flight::InFlight;
use middleware::in_flight::{InFlightPlace, is_probe};
pub use routes::mcp::McpServers;
pub use routes::models::catalog::ModelCatalog;
pub use routes::token::ANY_TOKEN;
pub use serve::serve;

/// All versions are the same API; the client's age decides which one it calls.
const VERSIONS: [&str; 3] = ["v1", "v1beta", "v1alpha"];

const JSON: &str = "application/json; charset=UTF-8";
/// Prefix of upload paths, before the version.
const UPLOADS: &str = "/upload/";
const UPLOAD_STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The state of the handlers. Cloned for each layer of a request, so it is one pointer.
#[derive(Debug, Clone)]
pub struct App(Arc<AppComponents>);

/// The components behind [`App`].
#[derive(Debug)]
pub struct AppComponents {
    pub engine: Arc<Engine>,
    pub store: Store,
    pub sandbox: Arc<Sandbox>,
    pub sessions: Arc<Sessions>,
    pub mcp: McpServers,
    pub catalog: Arc<ModelCatalog>,
    /// Whether the console is on.
    pub console: bool,
    /// Whether the token endpoint is on.
    pub fake_credentials: bool,
    pub files: Files,
    pub batches: BatchRunner,
    /// Scenarios that clients added.
    pub additions: Arc<AddedScenarios>,
    pub faults: Arc<Faults>,
    pub metrics: Exposition,
    /// Limits of request bodies.
    pub body_limits: BodyLimits,
    /// Whether code could run at any time since the start.
    pub was_ready: watch::Receiver<bool>,
    /// New requests are rejected.
    pub stopping: CancellationToken,
    /// Running code is stopped, because the grace period is over.
    pub stopped: CancellationToken,
    pub in_flight: InFlight,
}

impl App {
    pub fn new(parts: AppComponents) -> App {
        App(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = AppComponents;

    fn deref(&self) -> &AppComponents {
        &self.0
    }
}

/// Settings of the HTTP server.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub keys: Keys,
    /// Keys for the metrics alone.
    pub metrics_keys: Keys,
    /// Whether the test controls are on.
    pub control: Control,
    /// Whether the console is on.
    pub console: bool,
    /// Whether the token endpoint for clients of Vertex AI is on.
    pub fake_credentials: bool,
    /// Accepted host names for requests without a key.
    pub hosts: Hosts,
    pub request_bytes: usize,
    /// Write timeout: how long a client may read nothing of its response.
    pub write_timeout: Duration,
    pub allowed_clients: AllowedClients,
}

/// The complete HTTP service.
pub type Service = BoxCloneSyncService<Request, Response, Infallible>;

/// Builds the service. Layers that apply to all routes are outside of the router: a layer of the
/// router would be copied for each request, once for every layer inside it.
pub fn service(app: App, config: HttpConfig) -> Service {
    let hosts = config.keys.are_none().then(|| config.hosts.clone());
    let in_flight = app.in_flight.clone();
    let log = (in_flight.clone(), app.metrics.parts.requests.clone());
    let service = CatchPanicLayer::custom(error::panicked).layer(routes::router(app, config));
    let compressors = cors_and_compression::Compressors::default();
    let front = Front { hosts: hosts.clone(), in_flight, compressors };
    let service = from_fn_with_state(Arc::new(front), answer).layer(service);
    let service = cors_and_compression::compression().layer(service);
    // Outside of the other layers: CORS preflights carry no key, and browsers hide error bodies
    // without CORS headers.
    let service = cors_and_compression::cors(hosts).layer(service);
    let service = service
        .map_response(|response| cors_and_compression::security_headers(response.into_response()));
    // Outermost: logs every request.
    Service::new(from_fn_with_state(log, request_log::log).layer(service))
}

/// Checks that apply to every request, regardless of its route.
struct Front {
    /// Set if the server has no keys.
    hosts: Option<Hosts>,
    in_flight: InFlight,
    compressors: cors_and_compression::Compressors,
}

impl Front {
    fn refuses(&self, request: &Request) -> Option<error::ApiError> {
        let refusal = self.hosts.as_ref().and_then(|hosts| hosts.refuses(request));
        refusal.or_else(|| PathPrefix::refuses(request)).or_else(|| self.in_flight.refuses(request))
    }
}

/// Rejects the request or passes it to the router, then finishes the response: error envelopes,
/// escaped streams, a mark for compression. One layer for all, because each layer costs every
/// request some copies.
async fn answer(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let mut form = error::ErrorForm::of(&mut request);
    form.dialect = vertex::enter(&mut request);
    let refusal = front.refuses(&request);
    if refusal.is_some() {
        request.extensions_mut().insert(Rejected);
    }
    let place = request.extensions().get::<InFlightPlace>().cloned();
    let place = place.filter(|_| front.hosts.is_none() && !is_probe(request.uri().path()));
    let response = next.run(request).await;
    let refusal = refusal.or_else(|| place?.refuses_stranger());
    let response = refusal.map_or(response, IntoResponse::into_response);
    front.compressors.admit(json::escape_stream(form.render(response)))
}

/// Marks a request that is rejected before the router. It still passes the router, which sets its
/// API for the form of the error.
#[derive(Debug, Clone, Copy)]
struct Rejected;

/// Appears in the log and in the response, to match one with the other.
#[derive(Debug, Clone, Default)]
struct RequestId(Arc<str>);
