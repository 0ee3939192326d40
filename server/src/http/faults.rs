//! `GET`, `POST` and `DELETE /x/faults`: failures for every request of a namespace.

use axum::extract::State;
use serde_json::{Value, json};

use super::App;
use super::body::Body;
use super::error::ApiError;
use super::lines::Json;
use super::namespace::InNamespace;

/// What was ordered, and how often each of it has happened.
pub async fn read(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    let faults = app.faults.standing(&namespace).into_iter();
    let faults: Vec<Value> =
        faults.map(|(fault, happened)| json!({"fault": fault, "happened": happened})).collect();
    Json(json!({"namespace": namespace.name(), "faults": faults}))
}

/// Orders one more, or a list of them.
pub async fn order(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    Body(faults): Body,
) -> Result<Json<Value>, ApiError> {
    let faults = match faults {
        Value::Array(faults) => faults,
        one => vec![one],
    };
    app.faults.order(&namespace, faults).map_err(ApiError::invalid)?;
    Ok(Json(json!({})))
}

/// Removes what was ordered here. What the configuration orders stays.
pub async fn remove(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    app.faults.clear(&namespace);
    Json(json!({}))
}
