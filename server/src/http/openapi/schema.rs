//! Named schemas, and builders of JSON Schema.

use std::cell::RefCell;

use serde_json::{Map, Value, json};

/// A schema with a name: a component of the document.
pub struct Schema {
    name: &'static str,
    build: fn(&ComponentSchemas) -> Value,
}

impl Schema {
    pub const fn new(name: &'static str, build: fn(&ComponentSchemas) -> Value) -> Schema {
        Schema { name, build }
    }

    #[cfg(test)]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// The schemas that the document refers to so far.
#[derive(Default)]
pub struct ComponentSchemas(RefCell<Vec<(&'static Schema, Value)>>);

impl ComponentSchemas {
    /// A reference to a schema, which becomes a component of the document.
    pub fn named(&self, schema: &'static Schema) -> Value {
        let known = |(other, _): &(&Schema, Value)| {
            let is_same = other.name == schema.name;
            debug_assert!(
                !is_same || std::ptr::eq(*other, schema),
                "two schemas are named {}",
                schema.name
            );
            is_same
        };
        let is_known = self.0.borrow().iter().any(known);
        if !is_known {
            // Its place is taken first, because a schema may refer to itself.
            let place = self.0.borrow().len();
            self.0.borrow_mut().push((schema, Value::Null));
            let built = (schema.build)(self);
            self.0.borrow_mut()[place].1 = built;
        }
        json!({"$ref": format!("#/components/schemas/{}", schema.name)})
    }

    pub(super) fn into_json(self) -> Map<String, Value> {
        let schemas = self.0.into_inner().into_iter();
        schemas.map(|(schema, json)| (schema.name.to_owned(), json)).collect()
    }
}

/// The response of operations that return nothing.
pub static NOTHING: Schema = Schema::new("Nothing", |_| answer(&[], json!({})));

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

pub fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
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
