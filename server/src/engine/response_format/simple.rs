//! Schemas that are compiled and compared in the server's own process. All others have a process of
//! their own: see `checker.rs`.
//!
//! Below these keywords each value of an answer is compared with one schema at most, and no more than
//! one error is made. An unknown keyword is not simple.

use serde_json::{Map, Value};

/// Maximum size of a simple schema as JSON.
const MAX_SCHEMA_BYTES: usize = 4 << 10;
/// Maximum size of an answer that is compared with a simple schema in this process.
pub const MAX_ANSWER_BYTES: usize = 16 << 10;
/// Maximum number of schemas inside each other.
const MAX_DEPTH: usize = 32;

/// Whether a schema is simple.
pub fn is_simple(schema: &Value) -> bool {
    // Ends at the first byte for which there is no space.
    let is_small = serde_json::to_writer(&mut [0; MAX_SCHEMA_BYTES][..], schema).is_ok();
    is_small && is_simple_below(schema, MAX_DEPTH)
}

fn is_simple_below(schema: &Value, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return false };
    match schema {
        Value::Bool(_) => true,
        Value::Object(fields) => {
            fields.iter().all(|(keyword, value)| is_simple_keyword(keyword, value, levels))
        }
        _ => false,
    }
}

fn is_simple_keyword(keyword: &str, value: &Value, levels: usize) -> bool {
    match keyword {
        "title" | "description" | "type" | "required" | "minimum" | "maximum"
        | "exclusiveMinimum" | "exclusiveMaximum" | "minLength" | "maxLength" | "minItems"
        | "maxItems" | "minProperties" | "maxProperties" | "propertyOrdering" => true,
        "enum" => value.as_array().is_some_and(|values| values.iter().all(is_scalar)),
        "items" | "additionalProperties" => is_simple_below(value, levels),
        "properties" => value.as_object().is_some_and(|fields: &Map<String, Value>| {
            fields.values().all(|field| is_simple_below(field, levels))
        }),
        _ => false,
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ordinary_schemas_are_simple() {
        for schema in [
            json!({}),
            json!(true),
            json!({"type": "object", "title": "Row", "required": ["n"],
                   "properties": {"n": {"type": "integer", "minimum": 0},
                                  "kind": {"enum": ["a", 1, null]},
                                  "tags": {"type": "array", "items": {"type": "string"}}},
                   "additionalProperties": false}),
        ] {
            assert!(is_simple(&schema), "{schema}");
        }
    }

    #[test]
    fn what_multiplies_work_or_errors_is_not_simple() {
        let nested = (0..40).fold(json!({}), |inner, _| json!({"items": inner}));
        for schema in [
            json!({"$ref": "#"}),
            json!({"$id": "http://x"}),
            json!({"anyOf": [{}]}),
            json!({"properties": {"a": {"allOf": [{}]}}}),
            json!({"items": {"pattern": "a"}}),
            json!({"format": "regex"}),
            json!({"uniqueItems": true}),
            json!({"unevaluatedProperties": false}),
            json!({"items": [{}]}),
            json!({"enum": [[1]]}),
            json!({"description": "a".repeat(5000)}),
            json!({"invented": 1}),
            nested,
        ] {
            assert!(!is_simple(&schema), "{schema:.80}");
        }
    }
}
