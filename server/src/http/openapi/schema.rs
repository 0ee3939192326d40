//! Builders of JSON Schema for the document.

use serde_json::{Map, Value, json};

pub fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

pub fn flag(description: &str) -> Value {
    json!({"type": "boolean", "description": description})
}

pub fn count(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

pub fn word(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

pub fn only(word: &str) -> Value {
    json!({"type": "string", "const": word})
}

/// An enum value of a response: a name or a number.
pub fn or_number(words: Value) -> Value {
    let number = json!({"type": "integer", "format": "int32",
        "description": "For requests with `$alt=json;enum-encoding=int`."});
    json!({"anyOf": [words, number]})
}

pub fn base64(description: &str) -> Value {
    json!({"type": "string", "contentEncoding": "base64", "description": description})
}

pub fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

pub fn any_object(description: &str) -> Value {
    json!({"type": "object", "description": description})
}

pub fn any_of(schemas: &[Value]) -> Value {
    json!({"anyOf": schemas})
}

/// A reference to a component.
pub fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object of a request. Unknown fields are invalid, and optional fields may be `null`.
pub fn request(required: &[&str], fields: Value) -> Value {
    let mut schema = open_request(required, fields);
    schema["additionalProperties"] = false.into();
    schema
}

/// An object of a request that came from a server: unknown fields are valid.
pub fn open_request(required: &[&str], fields: Value) -> Value {
    let Value::Object(fields) = fields else { return fields };
    let fields = fields.into_iter().map(|(name, schema)| {
        let schema = if required.contains(&name.as_str()) { schema } else { or_null(schema) };
        (name, schema)
    });
    let fields: Map<String, Value> = fields.collect();
    json!({"type": "object", "required": required, "properties": fields})
}

/// An object of a response, without unknown fields and with all fields that are not optional.
pub fn answer(optional: &[&str], fields: Value) -> Value {
    let names = fields.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<&String> = names.filter(|name| !optional.contains(&name.as_str())).collect();
    json!({
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": fields,
    })
}

fn or_null(mut schema: Value) -> Value {
    match schema.get("type") {
        Some(Value::String(kind))
            if schema.get("enum").is_none() && schema.get("const").is_none() =>
        {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}
