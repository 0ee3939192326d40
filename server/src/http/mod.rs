//! Routes and layers of the HTTP server.

mod error;
mod extract;
#[cfg(test)]
mod fuzz;
mod generate_content;
mod middleware;
mod openapi;
mod response;
mod routes;
mod serve;
mod wire;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;

use crate::backend::scripted::AddedScenarios;
use crate::engine::Engine;
use crate::sandbox::Sandbox;
use crate::store::{Files, Store};

use extract::body;
use middleware::{allowed_clients, auth, cors_and_compression, deadline, drain, request_log};
use response::json;
use routes::{
    execute, faults, files, health, index, interactions, isolation, journal, models, scenarios,
    upload,
};

pub use middleware::allowed_clients::AllowedClients;
pub use middleware::auth::Keys;
pub use middleware::control::Control;
pub use middleware::faults::Faults;
pub use middleware::guard::{Hosts, NotAHost};
pub use middleware::request_log::InFlight;
pub use routes::model_catalog::ModelCatalog;
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
pub struct App(Arc<Components>);

/// The components behind [`App`].
#[derive(Debug)]
pub struct Components {
    pub engine: Arc<Engine>,
    pub store: Store,
    pub sandbox: Arc<Sandbox>,
    pub catalog: Arc<ModelCatalog>,
    pub files: Files,
    /// Scenarios that clients added.
    pub additions: Arc<AddedScenarios>,
    pub faults: Arc<Faults>,
    /// Whether code could run at any time since the start.
    pub was_ready: watch::Receiver<bool>,
    pub stopping: CancellationToken,
    pub in_flight: InFlight,
}

impl App {
    pub fn new(parts: Components) -> App {
        App(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Components;

    fn deref(&self) -> &Components {
        &self.0
    }
}

/// Settings of the HTTP server.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub keys: Keys,
    /// Whether the test controls are on.
    pub control: Control,
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
    let service = CatchPanicLayer::custom(error::panicked).layer(router(app, config));
    let compressors = cors_and_compression::Compressors::default();
    let front = Front { hosts: hosts.clone(), in_flight: in_flight.clone(), compressors };
    let service = from_fn_with_state(Arc::new(front), answer).layer(service);
    let service = cors_and_compression::compression().layer(service);
    // Outside of the other layers: CORS preflights carry no key, and browsers hide error bodies
    // without CORS headers.
    let service = cors_and_compression::cors(hosts).layer(service);
    let service = service
        .map_response(|response| cors_and_compression::security_headers(response.into_response()));
    // Outermost: logs every request.
    Service::new(from_fn_with_state(in_flight, request_log::log).layer(service))
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
        refusal.or_else(|| self.in_flight.refuses(request))
    }
}

/// Rejects the request or passes it to the router, then finishes the response: error envelopes,
/// escaped streams, a mark for compression. One layer for all, because each layer costs every
/// request some copies.
async fn answer(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let form = error::Form::of(&request);
    let response = match front.refuses(&request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    front.compressors.admit(json::escape_stream(form.render(response)))
}

/// Checks the API key, if the server has keys, and limits the body.
async fn admit(
    State((keys, limits)): State<(Keys, body::Limits)>,
    mut request: Request,
    next: Next,
) -> Response {
    let allowed = auth::check(&keys, &mut request);
    let (request, body) = drain::share(request);
    let response = match allowed {
        Ok(()) => body::limit(limits, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    drain::before(response, body).await
}

/// A path and its handlers.
type Route = (String, MethodRouter<App>);

/// Routes below each version.
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

/// Routes that require a key, except those below a version.
fn routes() -> Vec<Route> {
    let uploads = VERSIONS.map(|version| {
        (format!("{UPLOADS}{version}/files"), post(upload::upload).put(upload::upload))
    });
    let ours =
        [("/x/isolation", get(isolation::isolation)), ("/x/execute", post(execute::execute))];
    let ours = ours.into_iter().map(|(path, handlers)| (path.to_owned(), handlers));
    uploads.into_iter().chain(ours).collect()
}

/// Routes of the test controls.
fn controls() -> Vec<Route> {
    let routes = [
        ("/x/journal", get(journal::read)),
        ("/x/reset", post(journal::reset)),
        ("/x/faults", get(faults::read).post(faults::order).delete(faults::remove)),
        ("/x/scenarios", get(scenarios::list).post(scenarios::add).delete(scenarios::remove)),
    ];
    routes.into_iter().map(|(path, handlers)| (path.to_owned(), handlers)).collect()
}

/// Routes without a key: supervisors have none, and the document is not secret.
fn keyless() -> Vec<Route> {
    let routes = [
        ("/", get(index::index)),
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/openapi.json", get(openapi::get)),
        ("/docs", get(openapi::page::page)),
        ("/docs/{file}", get(openapi::page::file)),
    ];
    routes.into_iter().map(|(path, handlers)| (path.to_owned(), handlers)).collect()
}

fn router(app: App, config: HttpConfig) -> Router {
    let add = |router: Router<App>, (path, handlers): Route| router.route(&path, handlers);
    let faults = from_fn_with_state(Arc::clone(&app.faults), middleware::faults::apply);
    let api = api().into_iter().map(|(path, handlers)| (path.to_owned(), handlers));
    let api = api.fold(Router::new(), add);
    // Without recording, all clients are accepted unchecked.
    let api = match config.allowed_clients {
        AllowedClients::All => api,
        AllowedClients::ThisMachine => api.layer(from_fn(allowed_clients::check)),
    };
    // Outside of the faults, so that an injected delay counts towards the deadline.
    let api = api.layer(faults).layer(from_fn(deadline::apply));
    let controls = controls().into_iter().fold(Router::new(), add);
    let controls = controls.layer(from_fn_with_state(config.control, middleware::control::check));
    let mut router = routes().into_iter().fold(controls, add);
    for version in VERSIONS {
        router = router.nest(&format!("/{version}"), api.clone());
    }
    let limits = body::Limits::new(config.request_bytes);
    let router = router.layer(from_fn_with_state((config.keys, limits), admit));
    keyless().into_iter().fold(router, add).with_state(app)
}

/// Appears in the log and in the response, to match one with the other.
#[derive(Debug, Clone, Default)]
struct RequestId(Arc<str>);
