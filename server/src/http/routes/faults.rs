//! `GET`, `POST` and `DELETE /x/faults`: faults for every request of a namespace.

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::Body;
use crate::http::extract::namespace::InNamespace;
use crate::http::response::json::Json;

/// The faults, and how often each happened.
pub async fn read(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    let faults = app.faults.active(&namespace).into_iter();
    let faults: Vec<Value> =
        faults.map(|(fault, happened)| json!({"fault": fault, "happened": happened})).collect();
    Json(json!({"namespace": namespace.name(), "faults": faults}))
}

/// Adds a fault, or a list of them.
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

/// Removes the faults of this namespace. Those of the configuration remain.
pub async fn remove(State(app): State<App>, InNamespace(namespace): InNamespace) -> Json<Value> {
    app.faults.clear(&namespace);
    Json(json!({}))
}
