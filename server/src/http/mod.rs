//! The table of URLs.

mod auth;
mod base;
mod body;
mod browser;
mod catalogue;
mod control;
mod credentials;
mod deadline;
mod document;
mod drain;
mod error;
mod execute;
mod fault;
mod faults;
mod files;
#[cfg(test)]
mod fuzz;
mod generate;
mod guard;
mod health;
mod idle;
mod index;
mod interactions;
mod journal;
mod lines;
mod models;
mod namespace;
mod page;
mod pieces;
mod query;
mod quirk;
mod request_log;
mod revision;
mod scenarios;
mod serve;
mod sse;
mod stall;
mod upload;
mod visitors;
mod wire;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::middleware::{self, Next};
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

pub use auth::Keys;
pub use catalogue::Catalogue;
pub use control::Control;
pub use fault::Faults;
pub use guard::{Hosts, NotAHost};
pub use request_log::InFlight;
pub use serve::serve;
pub use visitors::Visitors;

/// All of them are the same API: which one a client calls depends on its age.
const VERSIONS: [&str; 3] = ["v1", "v1beta", "v1alpha"];

const JSON: &str = "application/json; charset=UTF-8";
/// Before the version, where bytes come in.
const UPLOADS: &str = "/upload/";
const UPLOAD_STATUS: HeaderName = HeaderName::from_static("x-goog-upload-status");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What handlers need. It is copied for each layer that a request passes, and so it is one pointer.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

/// The application as it is put together at the start, each part once.
#[derive(Debug)]
pub struct Parts {
    pub engine: Arc<Engine>,
    pub store: Store,
    pub sandbox: Arc<Sandbox>,
    pub catalogue: Arc<Catalogue>,
    pub files: Files,
    /// Scenarios that clients brought along.
    pub additions: Arc<AddedScenarios>,
    pub faults: Arc<Faults>,
    /// Whether an execution could be served at some time since the start.
    pub was_ready: watch::Receiver<bool>,
    pub stopping: CancellationToken,
    pub in_flight: InFlight,
}

impl App {
    pub fn new(parts: Parts) -> App {
        App(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Limits and keys of the front door.
#[derive(Debug, Clone)]
pub struct Door {
    pub keys: Keys,
    /// Whether tests may look at the server and make it fail.
    pub control: Control,
    /// Names of this server, for requests without a key.
    pub hosts: Hosts,
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
    let hosts = door.keys.are_none().then(|| door.hosts.clone());
    let in_flight = app.in_flight.clone();
    let service = CatchPanicLayer::custom(error::panicked).layer(router(app, door));
    let packers = browser::Packers::default();
    let front = Front { hosts: hosts.clone(), in_flight: in_flight.clone(), packers };
    let service = middleware::from_fn_with_state(Arc::new(front), answer).layer(service);
    let service = browser::packing().layer(service);
    // Around the others: a browser asks who may ask without a key, and reads no error without an answer.
    let service = browser::origins(hosts).layer(service);
    let service = service.map_response(|response| browser::as_it_says(response.into_response()));
    // Around all of it: a line for each request, whoever answers it.
    Service::new(middleware::from_fn_with_state(in_flight, request_log::log).layer(service))
}

/// What is decided for every request, whatever its route.
struct Front {
    /// Present where there are no keys.
    hosts: Option<Hosts>,
    in_flight: InFlight,
    packers: browser::Packers,
}

impl Front {
    fn refuses(&self, request: &Request) -> Option<error::ApiError> {
        let refusal = self.hosts.as_ref().and_then(|hosts| hosts.refuses(request));
        refusal.or_else(|| self.in_flight.refuses(request))
    }
}

/// What the router answers, unless the request is refused, as it is sent: failures in their envelope,
/// streams escaped, marked where it may be packed. One layer for all, since each costs every request
/// some copies.
async fn answer(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let form = error::Form::of(&request);
    let response = match front.refuses(&request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    front.packers.admit(lines::escape_stream(form.render(response)))
}

/// Lets a request in that has a key, or any where there are no keys, and bounds its body.
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
    let ours = [("/x/isolation", get(health::isolation)), ("/x/execute", post(execute::execute))];
    let ours = ours.into_iter().map(|(path, handlers)| (path.to_owned(), handlers));
    uploads.into_iter().chain(ours).collect()
}

/// What tests control the server with.
fn controls() -> Vec<Route> {
    let routes = [
        ("/x/journal", get(journal::read)),
        ("/x/reset", post(journal::reset)),
        ("/x/faults", get(faults::read).post(faults::order).delete(faults::remove)),
        ("/x/scenarios", get(scenarios::list).post(scenarios::add).delete(scenarios::remove)),
    ];
    routes.into_iter().map(|(path, handlers)| (path.to_owned(), handlers)).collect()
}

/// What is served to everybody: whoever looks after the server has no key, and the document is no
/// secret.
fn keyless() -> Vec<Route> {
    let routes = [
        ("/", get(index::index)),
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
    // Around the faults: a delay of theirs is time that the client waits.
    let api = api.layer(faults).layer(middleware::from_fn(deadline::apply));
    let controls = controls().into_iter().fold(Router::new(), add);
    let controls = controls.layer(middleware::from_fn_with_state(door.control, control::check));
    let mut router = routes().into_iter().fold(controls, add);
    for version in VERSIONS {
        router = router.nest(&format!("/{version}"), api.clone());
    }
    let limits = body::Limits::new(door.request_bytes);
    let router = router.layer(middleware::from_fn_with_state((door.keys, limits), admit));
    keyless().into_iter().fold(router, add).with_state(app)
}

/// Stands in the log and in the answer, so that one can be found with the other.
#[derive(Debug, Clone, Default)]
struct RequestId(Arc<str>);
