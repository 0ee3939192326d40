//! The console: pages for people who look at what the server does.
//!
//! ```text
//!   request ──▶ access (who may see it) ──▶ page (its content) ──▶ layout (frame, headers)
//! ```
//!
//! Pages are rendered by the server and work without scripts. What clients, models and code wrote is
//! only ever inserted as text (see `text`), and pictures as pictures (see `media`).

mod access;
mod assets;
mod code;
mod examples;
mod facts;
mod faults;
mod interactions;
mod layout;
mod media;
mod notebook;
mod requests;
mod rerun;
mod sandbox;
mod text;

use access::login;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::http::App;

pub use access::ConsoleAccess;

/// Where the pages are.
pub const PATH: &str = "/console";

pub fn router(access: ConsoleAccess) -> Router<App> {
    let pages = Router::new()
        .route("/console", get(interactions::list))
        .route("/console/interactions/{id}", get(notebook::show))
        .route("/console/interactions/{id}/media/{step}/{content}", get(media::show))
        .route("/console/interactions/{id}/runs/{step}", post(rerun::run))
        .route("/console/requests", get(requests::list))
        .route("/console/requests/{number}", get(requests::show))
        .route("/console/scenarios", post(requests::add_scenario))
        .route("/console/faults", get(faults::show).post(faults::add))
        .route("/console/faults/clear", post(faults::clear))
        .route("/console/sandbox", get(sandbox::show).post(sandbox::attempt))
        .layer(from_fn_with_state(access.clone(), access::admit));
    let open = Router::new()
        .route("/console/login", get(login::ask).post(login::login).with_state(access.clone()))
        .route("/console/logout", post(login::logout).with_state(access.clone()))
        .layer(from_fn_with_state(access, access::restrict));
    let assets = Router::new().route("/console/assets/{file}", get(assets::serve));
    pages.merge(open).merge(assets)
}
