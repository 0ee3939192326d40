//! `GET`, `POST` and `DELETE /x/scenarios`: lists scenarios, and adds temporary ones for a test.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::{Text, blocking};
use crate::http::extract::namespace::InNamespace;
use crate::http::response::json::Json;

/// Lists the scenarios in the order of precedence, with their use counts in this namespace.
pub async fn list(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    let tally = app.engine.counts().of(&namespace);
    let scenarios = app.additions.all(&namespace);
    let scenarios = scenarios.iter().map(|scenario| {
        let uses = tally.get(scenario.counted());
        json!({"name": scenario.name, "file": scenario.file, "uses": uses})
    });
    let scenarios: Vec<Value> = scenarios.collect();
    Json(json!({"namespace": namespace.name(), "scenarios": scenarios}))
}

/// Adds the scenarios of a YAML or JSON file, before all existing ones.
pub async fn add(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    Text(file): Text,
) -> Result<Json<Value>, ApiError> {
    // Patterns and templates are compiled off the request threads.
    let (additions, room) = (Arc::clone(&app.additions), namespace.clone());
    let names = blocking(move || additions.add(&room, &file)).await.map_err(ApiError::invalid)?;
    Ok(Json(json!({"namespace": namespace.name(), "added": names})))
}

/// Removes the added scenarios. Those of the folder remain.
pub async fn remove(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    app.additions.clear(&namespace);
    Json(json!({}))
}
