//! Converts a function's parameter schema from this API's dialect to JSON Schema.

use serde_json::{Map, Value};

use crate::http::wire::json_reader::{Node, camel};
use crate::http::wire::proto;

/// Fields with names of more than one word, in the spelling of JSON Schema.
const TWO_WORDS: [&str; 10] = [
    "additionalProperties",
    "anyOf",
    "maxItems",
    "maxLength",
    "maxProperties",
    "minItems",
    "minLength",
    "minProperties",
    "prefixItems",
    "propertyOrdering",
];
/// 64-bit integers, which protobuf writes as strings.
const INTEGERS: [&str; 6] =
    ["maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"];
const FLOATS: [&str; 2] = ["maximum", "minimum"];
/// Fields that hold any value, including `null`.
const VALUES: [&str; 3] = ["const", "default", "example"];

/// Converts `{"type": "OBJECT", "nullable": true}` to `{"type": ["object", "null"]}`, and
/// protobuf's spellings to those of JSON Schema. Everything else is unchanged.
pub fn json_schema(schema: Value) -> Value {
    let Value::Object(fields) = schema else { return schema };
    let mut fields = known_spellings(fields);
    for name in INTEGERS {
        if let Some(value) = fields.get_mut(name)
            && let Ok(integer) = proto::int64(&Node::root(value.clone()))
        {
            *value = integer.into();
        }
    }
    for name in FLOATS {
        if let Some(value) = fields.get_mut(name)
            && let Ok(number) = proto::json_number(&Node::root(value.clone()))
        {
            *value = number;
        }
    }
    kind(&mut fields);
    for name in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(name) {
            *schema = json_schema(schema.take());
        }
    }
    for name in ["anyOf", "prefixItems"] {
        if let Some(Value::Array(schemas)) = fields.get_mut(name) {
            schemas.iter_mut().for_each(|schema| *schema = json_schema(schema.take()));
        }
    }
    // Property names belong to the client and may equal field names.
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(|schema| *schema = json_schema(schema.take()));
    }
    Value::Object(fields)
}

/// Removes fields that are `null`, which protobuf uses for "not set".
fn known_spellings(fields: Map<String, Value>) -> Map<String, Value> {
    let fields = fields.into_iter();
    let set = fields.filter(|(name, value)| !value.is_null() || VALUES.contains(&name.as_str()));
    let spelled = set.map(|(name, value)| {
        let two_words = camel(name.clone());
        if TWO_WORDS.contains(&two_words.as_str()) { (two_words, value) } else { (name, value) }
    });
    spelled.collect()
}

fn kind(fields: &mut Map<String, Value>) {
    let nullable = fields.remove("nullable") == Some(Value::Bool(true));
    let Some(kind) = fields.remove("type") else { return };
    let word = match kind {
        Value::String(_) | Value::Number(_) => proto::TYPE.word(Node::root(kind.clone())).ok(),
        _ => None,
    };
    let kind = match word {
        Some(word) if word == proto::TYPE.unspecified() => return,
        Some(word) => word.to_ascii_lowercase().into(),
        None => kind,
    };
    let kind = match kind {
        Value::String(_) if nullable => vec![kind, "null".into()].into(),
        kind => kind,
    };
    fields.insert("type".to_owned(), kind);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn spellings_of_protobuf_are_converted() {
        let schema = json!({
            "type": 6, "description": null, "max_properties": "3",
            "properties": {
                "max_items": {"type": 5, "items": {"type": "1"}, "min_items": "1", "maxItems": 2.0},
                "number": {"type": 2, "minimum": "0.5", "maximum": "1e2", "nullable": true},
                "any": {"type": 0, "any_of": [{"type": 7}, {"type": 99}], "default": null},
            },
        });
        let wanted = json!({
            "type": "object", "maxProperties": 3,
            "properties": {
                "max_items": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
                "number": {"type": ["number", "null"], "minimum": 0.5, "maximum": 100.0},
                "any": {"anyOf": [{"type": "null"}, {}], "default": null},
            },
        });
        assert_eq!(json_schema(schema), wanted);
    }

    #[test]
    fn nested_schemas_are_converted_and_property_names_are_not() {
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
