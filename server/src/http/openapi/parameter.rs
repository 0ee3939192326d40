//! Parameters of operations.

use serde_json::{Value, json};

use super::schema::{text, word};
use crate::http::VERSIONS;

pub fn in_query(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "schema": schema})
}

pub fn in_header(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "header", "schema": schema})
}

pub fn in_path(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

pub fn version() -> Value {
    in_path("version", word(&VERSIONS))
}

pub fn namespace() -> Value {
    let mut name = text(
        "The namespace of the test that sends this request. `/n/NAME` before the path is the same.",
    );
    name["pattern"] = "^[!-~]{1,128}$".into();
    in_header("x-belljar-namespace", name)
}

/// The page of a list.
pub fn page() -> [Value; 2] {
    [
        in_query("pageSize", json!({"type": "integer", "minimum": 0})),
        in_query("pageToken", text("`nextPageToken` of the previous page.")),
    ]
}
