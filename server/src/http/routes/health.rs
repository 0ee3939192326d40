//! Liveness and readiness of the server.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::App;
use crate::http::error::{ApiError, Code};
use crate::http::openapi::schema::{Schema, answer, word};
use crate::http::openapi::{OPERATORS, Operation};
use crate::http::response::json::Json;
use crate::http::route::Route;

static HEALTH: Schema =
    Schema::new("Health", |_| answer(&[], json!({"status": word(&["ok", "ready"])})));

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, OPERATORS, summary).answers(&HEALTH);
    vec![
        Route::get("/healthz", healthz, new("healthz", "Whether the server is up")),
        Route::get("/readyz", readyz, new("readyz", "Whether code can run now")),
    ]
}

/// Liveness: the server accepts requests.
pub async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Readiness: code can run. After the first time, only an unreachable sandbox makes the server
/// unready; cells that are temporarily in use do not.
pub async fn readyz(State(app): State<App>) -> Result<Response, ApiError> {
    let not_yet = |why: &str| ApiError::new(Code::Unavailable, format!("Not ready: {why}."));
    if app.stopping.is_cancelled() {
        return Err(not_yet("the server is stopping"));
    }
    if let Some(problem) = app.store.problem().await {
        return Err(not_yet(&problem.to_string()));
    }
    match app.sandbox.describe().await {
        Ok(now) if now.ready || *app.was_ready.borrow() => {
            Ok(Json(json!({"status": "ready"})).into_response())
        }
        Ok(now) => Err(not_yet(&format!("waiting for {}", now.waiting_for))),
        Err(error) => {
            tracing::warn!(error = %error, "sandbox unreachable");
            Err(not_yet("the sandbox is unreachable"))
        }
    }
}
