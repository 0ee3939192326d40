//! `GET /metrics`: what the server measures of itself, for Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::openapi::{OPERATORS, Operation};
use crate::http::route::Route;

const ABOUT: &str = "Without keys it needs none. With them it needs a key of `metrics_keys`, or an API key if no \
                     other tenant exists.";

pub fn routes() -> Vec<Route> {
    let operation =
        Operation::new("metrics", OPERATORS, "Metrics in the text format of OpenMetrics")
            .about(ABOUT)
            .answers_as("application/openmetrics-text", |_| json!({"type": "string"}));
    vec![Route::get("/metrics", metrics, operation)]
}

/// Values that change all the time are read now; everything else was counted when it happened.
pub async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let parts = &app.metrics.parts;
    parts.requests.set_in_progress(app.in_flight.count());
    parts.interactions.set_running(app.engine.running());
    app.store.metrics();
    app.sessions.metrics();
    for (name, budget) in
        [("requests", app.body_limits.budget()), ("outputs", app.sandbox.budget())]
    {
        parts.memory.set(name, budget.bytes(), budget.used());
    }
    let described = app.sandbox.describe().await;
    if let Err(error) = &described {
        tracing::debug!(%error, "sandbox unreachable");
    }
    parts.pool.set(described.as_ref().ok());
    let text = app.metrics.text().map_err(|error| ApiError::internal(anyhow::Error::new(error)))?;
    Ok(([(CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response())
}
