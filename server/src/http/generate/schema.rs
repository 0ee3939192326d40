//! The schema of a function's parameters: this API's own dialect to JSON Schema.

use serde_json::Value;

/// `{"type": "OBJECT", "nullable": true}` is `{"type": ["object", "null"]}`; all else is the same.
pub fn json_schema(schema: Value) -> Value {
    let Value::Object(mut fields) = schema else { return schema };
    let nullable = fields.remove("nullable") == Some(Value::Bool(true));
    if let Some(Value::String(kind)) = fields.get_mut("type") {
        kind.make_ascii_lowercase();
    }
    if nullable && let Some(kind @ Value::String(_)) = fields.get_mut("type") {
        *kind = vec![kind.take(), "null".into()].into();
    }
    for name in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(name) {
            *schema = json_schema(schema.take());
        }
    }
    for name in ["anyOf", "any_of", "prefixItems"] {
        if let Some(Value::Array(schemas)) = fields.get_mut(name) {
            schemas.iter_mut().for_each(|schema| *schema = json_schema(schema.take()));
        }
    }
    // Names of properties, which are the client's, and may be those of any field.
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(|schema| *schema = json_schema(schema.take()));
    }
    if let Some(alternatives) = fields.remove("any_of") {
        fields.insert("anyOf".to_owned(), alternatives);
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_schema_within_is_turned_and_no_name_is() {
        let schema = json!({
            "type": "OBJECT",
            "properties": {
                "type": {"type": "STRING", "enum": ["STRING", "A"]},
                "nullable": {"type": "INTEGER", "nullable": true},
                "list": {"type": "ARRAY", "items": {"any_of": [{"type": "NUMBER"}, {"type": "NULL"}]}},
            },
            "required": ["type"],
        });
        let wanted = json!({
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["STRING", "A"]},
                "nullable": {"type": ["integer", "null"]},
                "list": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            },
            "required": ["type"],
        });
        assert_eq!(json_schema(schema), wanted);
        let right = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        assert_eq!(json_schema(right.clone()), right);
    }
}
