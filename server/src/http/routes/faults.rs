//! `GET`, `POST` and `DELETE /x/faults`: faults for every request of a namespace.

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::Body;
use crate::http::extract::namespace::InNamespace;
use crate::http::openapi::schema::{NOTHING, Schema, answer, any_object, any_of, count, list};
use crate::http::openapi::{JSON, Operation};
use crate::http::response::json::Json;
use crate::http::route::Route;

static STANDING_FAULTS: Schema = Schema::new("StandingFaults", |_| {
    let fault = json!({
        "fault": any_object("The fault as the client sent it."),
        "happened": count("How often it happened."),
    });
    answer(&[], json!({"namespace": {"type": "string"}, "faults": list(answer(&[], fault))}))
});

pub fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/x/faults",
            read,
            Operation::control("faults", "The faults, and how often each happened")
                .answers(&STANDING_FAULTS),
        ),
        Route::post(
            "/x/faults",
            order,
            Operation::control("orderFaults", "Adds faults for every request")
                .about(
                    "A fault or a list of faults, as in the header `x-belljar-fault`. A test control: 404 \
                     if the controls are off, which is the default with API keys.",
                )
                .takes_as(JSON, |_| {
                    any_of(&[any_object("A failure."), list(any_object("A failure."))])
                })
                .answers(&NOTHING),
        ),
        Route::delete(
            "/x/faults",
            remove,
            Operation::control("removeFaults", "Removes the faults").answers(&NOTHING),
        ),
    ]
}

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
