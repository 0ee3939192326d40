//! The table of routes. Each module has the handlers and the routes of a resource.

mod batches;
mod cached_contents;
mod documentation;
pub mod execute;
mod faults;
mod file_search_stores;
pub mod files;
mod health;
mod index;
mod interactions;
mod isolation;
mod journal;
pub mod mcp;
mod metrics;
pub mod models;
mod openai;
mod scenarios;
mod sessions;
pub mod token;
pub mod upload;
mod vertex;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use crate::http::console::{self, ConsoleAccess};
use crate::http::error::ApiError;
use crate::http::error::no_such_path;
use crate::http::extract::body;
use crate::http::middleware::allowed_clients::{self, AllowedClients};
use crate::http::middleware::auth::{self, Keys, MetricsAccess};
use crate::http::middleware::in_flight::InFlightPlace;
use crate::http::middleware::{control, deadline, drain, faults as injected};
use crate::http::openapi::Documented;
use crate::http::route::Route;
use crate::http::surface::{Surface, SurfaceSlot};
use crate::http::{App, HttpConfig, Rejected, UPLOADS, VERSIONS};
use crate::trace;
use domain::owner::Owner;

/// Every route, grouped by who may call it.
pub struct RouteTable {
    /// The Interactions API, below each version.
    interactions: Vec<Route>,
    /// `generateContent` and files, below each version.
    generate_content: Vec<Route>,
    /// The OpenAI-compatible API, below each version.
    openai: Vec<Route>,
    /// Uploads, below each version of their own prefix.
    uploads: Vec<Route>,
    /// The server's own routes that require a key.
    own: Vec<Route>,
    /// The metrics, which have keys of their own.
    metrics: Vec<Route>,
    /// The test controls.
    controls: Vec<Route>,
    /// Routes without a key: supervisors have none, and the document is not secret.
    keyless: Vec<Route>,
}

pub fn table() -> RouteTable {
    RouteTable {
        interactions: interactions::routes(),
        generate_content: all([
            models::routes(),
            files::routes(),
            file_search_stores::routes(),
            cached_contents::routes(),
            batches::routes(),
        ]),
        openai: openai::routes(),
        uploads: upload::routes(),
        metrics: metrics::routes(),
        own: all([execute::routes(), sessions::routes(), mcp::routes(), isolation::routes()]),
        controls: all([journal::routes(), faults::routes(), scenarios::routes()]),
        keyless: all([index::routes(), health::routes(), documentation::routes(), token::routes()]),
    }
}

fn all<const N: usize>(resources: [Vec<Route>; N]) -> Vec<Route> {
    resources.into_iter().flatten().collect()
}

/// Routes as the document shows them.
struct RouteGroup {
    prefix: String,
    needs_key: bool,
    routes: Vec<Route>,
}

impl RouteTable {
    fn groups(self) -> [RouteGroup; 8] {
        let RouteTable {
            interactions,
            generate_content,
            openai,
            uploads,
            own,
            metrics,
            controls,
            keyless,
        } = self;
        let group =
            |prefix: &str, routes| RouteGroup { prefix: prefix.into(), needs_key: true, routes };
        [
            group("/{version}", interactions),
            group("/{version}", generate_content),
            group("/{version}", openai),
            group(&format!("{UPLOADS}{{version}}"), uploads),
            group("", own),
            group("", metrics),
            group("", controls),
            RouteGroup { needs_key: false, ..group("", keyless) },
        ]
    }

    /// The operations of all routes, in the order of the document.
    pub fn operations(self) -> Vec<Documented> {
        let mut found = Vec::new();
        for RouteGroup { prefix, needs_key, routes } in self.groups() {
            for Route { path, method, operations, .. } in routes {
                found.extend(operations.into_iter().map(|operation| {
                    let path = format!("{prefix}{}", operation.path.as_deref().unwrap_or(path));
                    Documented { path, method, operation, needs_key }
                }));
            }
        }
        found.extend(vertex::documented());
        found
    }
}

/// Collections of the Interactions API. Those of their paths that have no handler get errors of its
/// form.
const OF_INTERACTIONS: [&str; 7] =
    ["agents", "credentials", "decisions", "environments", "interactions", "triggers", "webhooks"];

/// The same for the OpenAI-compatible API.
const UNKNOWN_OPENAI: &str = "/{version}/openai/{*rest}";

pub fn router(app: App, config: HttpConfig) -> Router {
    let HttpConfig { keys, metrics_keys, control, console, allowed_clients, .. } = config;
    let RouteTable {
        interactions,
        generate_content,
        openai,
        uploads,
        own,
        metrics,
        controls,
        keyless,
    } = table();
    let limits = app.body_limits.clone();
    let admitted = |surface: Surface, router: Router<App>| {
        let admission = Admission { surface, keys: keys.clone(), limits: limits.clone() };
        router.layer(from_fn_with_state(admission, admit))
    };
    let faults = from_fn_with_state(
        (Arc::clone(&app.faults), app.sandbox.budget().clone()),
        injected::apply,
    );
    let calls = |routes: &[Route]| {
        // Without recording, all clients are accepted unchecked.
        let router = match allowed_clients {
            AllowedClients::All => of(routes),
            AllowedClients::ThisMachine => of(routes).layer(from_fn(allowed_clients::check)),
        };
        // Outside of the faults, so that an injected delay counts towards the deadline.
        router.layer(faults.clone()).layer(from_fn(deadline::apply))
    };
    let unknown = OF_INTERACTIONS.into_iter();
    let interactions = unknown.fold(in_each_version(&calls(&interactions)), |router, name| {
        // The paths of Vertex AI come without their project, unless their version is unknown.
        let places = ["/{version}", "/{version}/projects/{project}/locations/{location}"];
        places.into_iter().fold(router, |router, place| {
            let path = format!("{place}/{name}");
            let router = router.route(&format!("{path}/{{*rest}}"), any(no_such_path));
            router.route(&path, any(no_such_path))
        })
    });
    let generate_content = in_each_version(&calls(&generate_content));
    let openai = in_each_version(&calls(&openai)).route(UNKNOWN_OPENAI, any(no_such_path));
    // Not nested, because the handler puts the whole path into the URL of an upload.
    let uploads = VERSIONS.into_iter().fold(Router::new(), |router, version| {
        add(router, &format!("{UPLOADS}{version}"), &uploads)
    });
    let controls = of(&controls).layer(from_fn_with_state(control, control::check));
    let access = MetricsAccess { api_keys: keys.clone(), metrics_keys };
    let metrics = of(&metrics).layer(from_fn_with_state(access, auth::check_metrics));
    let pages = match console {
        true => {
            let keys = keys.clone();
            let memory = app.body_limits.budget().clone();
            console::router(ConsoleAccess { keys, control, sessions: Arc::default(), memory })
        }
        false => Router::new(),
    };
    let keyless = of(&keyless).merge(metrics).merge(pages).layer(from_fn(routed));
    // The first one also has the paths without a route.
    admitted(Surface::Own, of(&own).merge(controls))
        .merge(admitted(Surface::Interactions, interactions))
        .merge(admitted(Surface::GenerateContent, generate_content))
        .merge(admitted(Surface::OpenAi, openai))
        .merge(admitted(Surface::Uploads, uploads))
        .merge(keyless)
        .with_state(app)
}

fn of(routes: &[Route]) -> Router<App> {
    add(Router::new(), "", routes)
}

fn add(router: Router<App>, prefix: &str, routes: &[Route]) -> Router<App> {
    routes.iter().fold(router, |router, route| {
        router.route(&format!("{prefix}{}", route.path), route.handler.clone())
    })
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
    limits: body::BodyLimits,
}

/// Records the route and its API, checks the API key, if the server has keys, and limits the body.
async fn admit(State(admission): State<Admission>, mut request: Request, next: Next) -> Response {
    let Admission { surface, keys, limits } = admission;
    trace::routed(request.extensions().get());
    if let Some(slot) = request.extensions().get::<SurfaceSlot>() {
        slot.set(surface);
    }
    if request.extensions().get::<Rejected>().is_some() {
        return ().into_response(); // replaced by the error
    }
    let place = request.extensions().get::<InFlightPlace>().cloned();
    let allowed = auth::check(&keys, &mut request, surface);
    if let Some(refusal) = place.and_then(|place| too_many(&place, &keys, &request)) {
        return refusal.into_response(); // without reading its body, which takes time
    }
    let (request, body) = drain::share(request);
    let response = match allowed {
        Ok(()) => body::limit(limits, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    drain::before(response, body).await
}

/// Counts the request for its owner, if its key was valid.
fn too_many(place: &InFlightPlace, keys: &Keys, request: &Request) -> Option<ApiError> {
    match request.extensions().get::<Owner>() {
        Some(owner) => place.claim(owner).err(),
        None if keys.are_none() => None,
        None => place.refuses_stranger(),
    }
}

/// The same for routes that need no admission.
async fn routed(request: Request, next: Next) -> Response {
    trace::routed(request.extensions().get());
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use regex::Regex;

    use super::*;

    /// Converts `/files/{*rest}` to a pattern for paths of the document.
    fn pattern(route: &str) -> Regex {
        let pattern = regex::escape(route).replace(r"\{\*rest\}", ".+").replace(r"\{id\}", "[^/]+");
        Regex::new(&format!("^{pattern}$")).expect("it was escaped")
    }

    #[test]
    fn every_documented_path_leads_to_its_route() {
        for route in table().groups().into_iter().flat_map(|group| group.routes) {
            let pattern = pattern(route.path);
            for operation in &route.operations {
                let path = operation.path.as_deref().unwrap_or(route.path);
                assert!(pattern.is_match(path), "{path} does not lead to {}", route.path);
                assert!(!path.contains('*'), "{path} is no path of a document");
            }
        }
    }

    #[test]
    fn no_operation_replaces_another_in_the_document() {
        let mut found = BTreeSet::new();
        for Documented { path, method, .. } in table().operations() {
            assert!(found.insert(format!("{method} {path}")), "{method} {path} is there twice");
        }
    }
}
