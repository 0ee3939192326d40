//! The table of routes, and their handlers, one module for each resource.

pub mod execute;
pub mod faults;
pub mod files;
pub mod health;
pub mod index;
pub mod interactions;
pub mod isolation;
pub mod journal;
pub mod model_catalog;
pub mod models;
pub mod scenarios;
pub mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get, post};

use crate::http::error::no_such_path;
use crate::http::extract::body;
use crate::http::middleware::allowed_clients::{self, AllowedClients};
use crate::http::middleware::auth::{self, Keys};
use crate::http::middleware::{control, deadline, drain, faults as injected};
use crate::http::surface::{Surface, SurfaceSlot};
use crate::http::{App, HttpConfig, Rejected, UPLOADS, VERSIONS, openapi};

/// A path and its handlers.
pub type Route = (String, MethodRouter<App>);

/// Routes of the Interactions API, below each version.
pub fn interactions_api() -> Vec<Route> {
    owned([
        ("/interactions", post(interactions::create)),
        (
            "/interactions/{id}",
            get(interactions::get).delete(interactions::delete).post(interactions::call),
        ),
        ("/interactions/{id}/cancel", post(interactions::cancel)),
    ])
}

/// Paths of the Interactions API without a handler, so that their errors have its form.
fn unknown_interactions() -> Vec<Route> {
    owned([
        ("/{version}/interactions", any(no_such_path)),
        ("/{version}/interactions/{*rest}", any(no_such_path)),
        ("/{version}/environments", any(no_such_path)),
        ("/{version}/environments/{*rest}", any(no_such_path)),
    ])
}

/// Routes of `generateContent` and of files, below each version.
pub fn generate_content_api() -> Vec<Route> {
    owned([
        ("/models", get(models::list)),
        (
            "/models/{*rest}",
            get(models::get).post(models::call).patch(models::change).delete(models::change),
        ),
        ("/tunedModels", get(models::list_tuned)),
        ("/files", get(files::list)),
        ("/files:register", post(files::register)),
        ("/files/{*rest}", get(files::get).delete(files::delete)),
    ])
}

pub fn uploads() -> Vec<Route> {
    let routes = VERSIONS.map(|version| {
        (format!("{UPLOADS}{version}/files"), post(upload::upload).put(upload::upload))
    });
    routes.into()
}

/// The server's own routes that require a key.
pub fn own() -> Vec<Route> {
    owned([("/x/isolation", get(isolation::isolation)), ("/x/execute", post(execute::execute))])
}

/// Routes of the test controls.
pub fn controls() -> Vec<Route> {
    owned([
        ("/x/journal", get(journal::read)),
        ("/x/reset", post(journal::reset)),
        ("/x/faults", get(faults::read).post(faults::order).delete(faults::remove)),
        ("/x/scenarios", get(scenarios::list).post(scenarios::add).delete(scenarios::remove)),
    ])
}

/// Routes without a key: supervisors have none, and the document is not secret.
pub fn keyless() -> Vec<Route> {
    owned([
        ("/", get(index::index)),
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/openapi.json", get(openapi::get)),
        ("/docs", get(openapi::page::page)),
        ("/docs/{file}", get(openapi::page::file)),
    ])
}

fn owned<const N: usize>(routes: [(&str, MethodRouter<App>); N]) -> Vec<Route> {
    routes.map(|(path, handlers)| (path.to_owned(), handlers)).into()
}

pub fn router(app: App, config: HttpConfig) -> Router {
    let HttpConfig { keys, control, request_bytes, allowed_clients, .. } = config;
    let limits = body::Limits::new(request_bytes);
    let admitted = |surface: Surface, router: Router<App>| {
        let admission = Admission { surface, keys: keys.clone(), limits: limits.clone() };
        router.layer(from_fn_with_state(admission, admit))
    };
    let faults = from_fn_with_state(Arc::clone(&app.faults), injected::apply);
    let calls = |routes: Vec<Route>| {
        // Without recording, all clients are accepted unchecked.
        let router = match allowed_clients {
            AllowedClients::All => of(routes),
            AllowedClients::ThisMachine => of(routes).layer(from_fn(allowed_clients::check)),
        };
        // Outside of the faults, so that an injected delay counts towards the deadline.
        router.layer(faults.clone()).layer(from_fn(deadline::apply))
    };
    let interactions = in_each_version(&calls(interactions_api()));
    let interactions = interactions.merge(of(unknown_interactions()));
    let generate_content = calls(generate_content_api());
    let controls = of(controls()).layer(from_fn_with_state(control, control::check));
    // The first one also has the paths without a route.
    admitted(Surface::Own, of(own()).merge(controls))
        .merge(admitted(Surface::Interactions, interactions))
        .merge(admitted(Surface::GenerateContent, in_each_version(&generate_content)))
        .merge(admitted(Surface::Uploads, of(uploads())))
        .merge(of(keyless()))
        .with_state(app)
}

fn of(routes: Vec<Route>) -> Router<App> {
    let add = |router: Router<App>, (path, handlers): Route| router.route(&path, handlers);
    routes.into_iter().fold(Router::new(), add)
}

fn in_each_version(api: &Router<App>) -> Router<App> {
    let nest = |router: Router<App>, version| router.nest(&format!("/{version}"), api.clone());
    VERSIONS.into_iter().fold(Router::new(), nest)
}

/// What the routes of one API share.
#[derive(Debug, Clone)]
struct Admission {
    surface: Surface,
    keys: Keys,
    limits: body::Limits,
}

/// Records the API, checks the API key, if the server has keys, and limits the body.
async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Response {
    let Admission { surface, keys, limits } = admission;
    if let Some(slot) = request.extensions().get::<SurfaceSlot>() {
        slot.set(surface);
    }
    if request.extensions().get::<Rejected>().is_some() {
        return ().into_response(); // replaced by the error
    }
    let allowed = auth::check(&keys, &mut request, surface);
    let (request, body) = drain::share(request);
    let response = match allowed {
        Ok(()) => body::limit(limits, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    drain::before(response, body).await
}
