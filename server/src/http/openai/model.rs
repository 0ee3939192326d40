//! Describes a model.

use serde_json::{Value, json};

pub fn model(name: &str) -> Value {
    json!({
        "id": format!("models/{name}"),
        "object": "model",
        "owned_by": "google",
        "display_name": name,
    })
}

/// All models: this list has no pages.
pub fn models(names: &[String]) -> Value {
    json!({"object": "list", "data": names.iter().map(|name| model(name)).collect::<Vec<_>>()})
}
