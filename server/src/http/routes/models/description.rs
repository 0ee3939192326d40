//! Descriptions of models.

use serde_json::{Value, json};

use crate::embedding::Family;
use crate::http::openapi::schema::{self, Schema, list};

/// Google's limits of its models. This server limits the bytes of a request, not its tokens.
const INPUT_TOKENS: u64 = 1_048_576;
const OUTPUT_TOKENS: u64 = 65_536;
/// Of embedding models, whose output is no text.
const EMBEDDING_OUTPUT_TOKENS: u64 = 1;
/// Vertex AI's word for the version of a model that has one.
const VERSION_ID: &str = "default";

pub fn model(name: &str) -> Value {
    let mut model = json!({
        "name": format!("models/{name}"),
        "version": name,
        "displayName": name,
        "description": "A model of this server.",
        "inputTokenLimit": INPUT_TOKENS,
        "outputTokenLimit": OUTPUT_TOKENS,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": true,
    });
    if let Some(family) = Family::of_model(name) {
        model["inputTokenLimit"] = family.max_tokens.into();
        model["outputTokenLimit"] = EMBEDDING_OUTPUT_TOKENS.into();
        model["supportedGenerationMethods"] =
            json!(["embedContent", "countTokens", "asyncBatchEmbedContent"]);
        model["thinking"] = false.into();
    }
    model
}

/// In the dialect of Vertex AI.
pub fn publisher_model(publisher: &str, name: &str) -> Value {
    json!({"name": format!("publishers/{publisher}/models/{name}"), "versionId": VERSION_ID})
}

pub static MODEL: Schema = Schema::new("Model", |_| {
    let fields = json!({
        "name": {"type": "string"}, "version": {"type": "string"},
        "displayName": {"type": "string"}, "description": {"type": "string"},
        "inputTokenLimit": schema::count("Tokens."), "outputTokenLimit": schema::count("Tokens."),
        "supportedGenerationMethods": list(json!({"type": "string"})),
        "thinking": {"type": "boolean"},
    });
    schema::answer(&[], fields)
});

pub static LISTED: Schema = Schema::new("Models", |schemas| {
    let fields =
        json!({"models": list(schemas.named(&MODEL)), "nextPageToken": {"type": "string"}});
    schema::answer(&["nextPageToken"], fields)
});

pub static TUNED: Schema = Schema::new("TunedModels", |_| {
    schema::answer(&[], json!({"tunedModels": {"type": "array", "maxItems": 0, "items": {}}}))
});

pub static PUBLISHER_MODEL: Schema = Schema::new("PublisherModel", |_| {
    schema::answer(&[], json!({"name": {"type": "string"}, "versionId": {"type": "string"}}))
});

pub static PUBLISHER_MODELS: Schema = Schema::new("PublisherModels", |schemas| {
    let fields = json!({
        "publisherModels": list(schemas.named(&PUBLISHER_MODEL)),
        "nextPageToken": {"type": "string"},
    });
    schema::answer(&["nextPageToken"], fields)
});

pub static PROJECT_MODELS: Schema = Schema::new("ProjectModels", |_| {
    schema::answer(&[], json!({"models": {"type": "array", "maxItems": 0, "items": {}}}))
});
