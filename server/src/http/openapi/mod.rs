//! The API as an OpenAPI 3.1 document.
//!
//! Each route describes itself ([`Operation`]), and each type that is sent or received has a
//! [`schema::Schema`] beside it. Requests are parsed and responses are written by hand, so the
//! schemas are not derived. Tests keep them correct: every field in them is parsed and every parsed
//! field is in them (`tests.rs`); every response in the API tests matches them (`tests/wire`).

mod body;
mod operation;
pub mod parameter;
pub mod schema;
#[cfg(test)]
pub mod tests;

use serde_json::{Map, Value, json};

use schema::ComponentSchemas;

#[cfg(test)]
pub use body::BodyReader;
pub use body::RequestBody;
pub use operation::{
    BATCHES, BELLJAR, CACHES, FILE_SEARCH, FILES, INTERACTIONS, JSON, MODELS, OPENAI, OPERATORS,
    Operation, OperationGroup,
};

/// An operation at its place in the document.
pub struct Documented {
    pub path: String,
    pub method: &'static str,
    pub operation: Operation,
    pub needs_key: bool,
}

pub fn document(operations: impl IntoIterator<Item = Documented>) -> Value {
    let schemas = ComponentSchemas::default();
    let mut paths = Map::new();
    for Documented { path, method, operation, needs_key } in operations {
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[method] = operation.json(needs_key, &schemas);
    }
    let tags: Vec<Value> = operation::TAGS
        .iter()
        .map(|tag| json!({"name": tag.name, "description": tag.description}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Belljar",
            "summary": "Self-hosted server for Gemini's code execution.",
            "description": "Paths with a version are those of the Gemini API, and Google's \
                documentation applies; the README lists the differences. Paths below `/x/` are \
                Belljar's own. A trailing slash is accepted on every path.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        // Relative to the path of this document, which may have a prefix.
        "servers": [{"url": "."}],
        "security": [{}, {"header": []}, {"query": []}, {"bearer": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_json(),
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
                "query": {"type": "apiKey", "in": "query", "name": "key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}
