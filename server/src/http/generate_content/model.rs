//! Describes a model.

use serde_json::{Value, json};

/// Google's limits of its models. This server limits the bytes of a request, not its tokens.
const INPUT_TOKENS: u64 = 1_048_576;
const OUTPUT_TOKENS: u64 = 65_536;

pub fn model(name: &str) -> Value {
    json!({
        "name": format!("models/{name}"),
        "version": name,
        "displayName": name,
        "description": "A model of this server.",
        "inputTokenLimit": INPUT_TOKENS,
        "outputTokenLimit": OUTPUT_TOKENS,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": true,
    })
}
