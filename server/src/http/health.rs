//! Whether the server is there, whether it would serve, and how strong its wall is.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use protocol::Description;
use serde_json::json;

use super::App;
use super::error::{ApiError, Code};
use super::lines::Json;

/// The server listens.
pub async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// An execution would be served. Once it was so, only a sandbox that is gone changes it: that all
/// places are taken for a moment is no reason to send nobody here any more.
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
            tracing::warn!(error = %error, "the sandbox does not answer");
            Err(not_yet("the sandbox does not answer"))
        }
    }
}

/// What the warden found out about its wall, layer by layer.
pub async fn isolation(State(app): State<App>) -> Result<Json<Description>, ApiError> {
    Ok(Json(app.sandbox.describe().await?))
}
