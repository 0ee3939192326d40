//! What is said about a model.

use serde_json::{Value, json};

/// What Google says of its models. Here the bytes of a request are limited, not its tokens.
const INPUT_TOKENS: u64 = 1_048_576;
const OUTPUT_TOKENS: u64 = 65_536;

pub fn model(name: &str) -> Value {
    json!({
        "name": format!("models/{name}"),
        "version": name,
        "displayName": name,
        "description": "A model that this server answers for.",
        "inputTokenLimit": INPUT_TOKENS,
        "outputTokenLimit": OUTPUT_TOKENS,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": true,
    })
}
