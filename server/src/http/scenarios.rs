//! `GET`, `POST` and `DELETE /x/scenarios`: which scenarios there are, and some for as long as a test
//! needs them.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::body::{Text, blocking};
use super::error::ApiError;
use super::lines::Json;
use super::namespace::InNamespace;

/// All of them in the order in which they are tried, and how often each was used in this namespace.
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

/// Adds the scenarios of a file, YAML or JSON, before all that are there.
pub async fn add(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    Text(file): Text,
) -> Result<Json<Value>, ApiError> {
    // Patterns and templates are compiled.
    let (additions, room) = (Arc::clone(&app.additions), namespace.clone());
    let names = blocking(move || additions.add(&room, &file)).await.map_err(ApiError::invalid)?;
    Ok(Json(json!({"namespace": namespace.name(), "added": names})))
}

/// Removes what was added. The scenarios of the folder stay.
pub async fn remove(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    app.additions.clear(&namespace);
    Json(json!({}))
}
