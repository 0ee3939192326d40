//! `GET`, `POST` and `DELETE /x/scenarios`: lists scenarios, and adds temporary ones for a test.

use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::{Text, blocking};
use crate::http::extract::namespace::InNamespace;
use crate::http::openapi::schema::{NOTHING, Schema, answer, count, list as list_of};
use crate::http::openapi::{JSON, Operation};
use crate::http::response::json::Json;
use crate::http::route::Route;

static SCENARIOS: Schema = Schema::new("Scenarios", |_| {
    let scenario = json!({
        "name": {"type": "string"},
        "file": {
            "type": ["string", "null"],
            "description": "File in the folder; null if a client added the scenario.",
        },
        "uses": count("Number of interactions of this namespace that it answered since the last reset."),
    });
    let scenarios = list_of(answer(&[], scenario));
    answer(&[], json!({"namespace": {"type": "string"}, "scenarios": scenarios}))
});

static ADDED: Schema = Schema::new("Added", |_| {
    let names = list_of(json!({"type": "string"}));
    answer(&[], json!({"namespace": {"type": "string"}, "added": names}))
});

pub fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/x/scenarios",
            list,
            Operation::control(
                "scenarios",
                "All scenarios in order of precedence, and how often each was used",
            )
            .answers(&SCENARIOS),
        ),
        Route::post(
            "/x/scenarios",
            add,
            Operation::control(
                "addScenarios",
                "Adds scenarios that take precedence over all others",
            )
            .about(
                "A scenario file. `belljar schema scenario` has its schema. A test control: 404 \
                 if the controls are off, which is the default with API keys.",
            )
            .takes_as(JSON, |_| json!({"type": "object"}))
            .takes_as("application/yaml", |_| json!({"type": "string"}))
            .answers(&ADDED),
        ),
        Route::delete(
            "/x/scenarios",
            remove,
            Operation::control("removeScenarios", "Removes the added scenarios").answers(&NOTHING),
        ),
    ]
}

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
