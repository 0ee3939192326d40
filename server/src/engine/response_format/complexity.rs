//! Estimates the work for a schema before it is done, with every reference expanded at every use.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::cost::KeywordCost;
use super::references::References;

/// Maximum depth of nested schemas, which bounds the stack of recursive functions.
pub const MAX_DEPTH: usize = 300;
/// Keywords whose value is a schema of which only the result is used.
const TESTS: [&str; 2] = ["not", "if"];
/// Keywords whose value is a schema that applies depending on `if`.
const CONDITIONAL: [&str; 2] = ["then", "else"];
/// Keywords with a list of schemas of which one has to apply.
const ALTERNATIVES: [&str; 2] = ["anyOf", "oneOf"];
/// Keywords with schemas that apply if a property exists.
const DEPENDENT: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords with a schema for each element or each other field.
const EACH: [&str; 7] = [
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
];
/// Number of schemas after each reference is expanded; a cycle is followed once. Long lists of values
/// count as several schemas.
pub fn expanded_schemas(schema: &Value) -> u64 {
    let references = References::new(schema);
    Counting { references, known: HashMap::new() }.count(schema, 0)
}

/// A part of a schema or of an answer, identified by its address.
pub type Part = *const Value;

/// A schema for the same value as the schema that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// It always applies: `allOf`, a dependent schema, a reference.
    Always,
    /// It is one of several, all of which are validated before errors are collected: `anyOf`, `oneOf`.
    Alternative,
    /// Only its result is used: `if`, `not`.
    Test,
    /// It applies depending on a test.
    Conditional,
}

/// Schemas for the same value as this one, except those of its references.
pub fn branches(fields: &Map<String, Value>) -> impl Iterator<Item = (Branch, &Value)> {
    let get = |branch: Branch| move |value| (branch, value);
    let tests = TESTS.iter().filter_map(|keyword| fields.get(*keyword)).map(get(Branch::Test));
    let conditional = CONDITIONAL.iter().filter_map(|keyword| fields.get(*keyword));
    let all = fields.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let alternatives = ALTERNATIVES.iter().filter_map(|keyword| fields.get(*keyword)?.as_array());
    let dependent = DEPENDENT.iter().filter_map(|keyword| fields.get(*keyword)?.as_object());
    tests
        .chain(conditional.map(get(Branch::Conditional)))
        .chain(all.map(get(Branch::Always)))
        .chain(alternatives.flatten().map(get(Branch::Alternative)))
        .chain(dependent.flat_map(Map::values).map(get(Branch::Always)))
}

/// Nested schemas for each element or each other field of the value.
pub fn each(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let each = EACH.iter().filter_map(|keyword| fields.get(*keyword));
    let each = each
        .flat_map(|schema| schema.as_array().map_or(std::slice::from_ref(schema), Vec::as_slice));
    let first = fields.get("prefixItems").and_then(Value::as_array);
    each.chain(first.into_iter().flatten())
}

struct Counting<'s> {
    references: References<'s>,
    known: HashMap<Part, u64>,
}

impl<'s> Counting<'s> {
    fn count(&mut self, schema: &'s Value, depth: usize) -> u64 {
        if depth > MAX_DEPTH {
            return u64::MAX;
        }
        if let Some(count) = self.known.get(&std::ptr::from_ref(schema)) {
            return *count;
        }
        let Value::Object(fields) = schema else { return 1 };
        // A cycle back to this schema is counted once.
        self.known.insert(schema, 1);
        let cost = KeywordCost::new(fields, &self.references);
        let by_name = ["properties", "patternProperties"].iter();
        let by_name = by_name.filter_map(|keyword| fields.get(*keyword)?.as_object());
        let beside = branches(fields).map(|(_, schema)| schema);
        let parts = beside.chain(each(fields)).chain(by_name.flat_map(Map::values));
        let parts = parts.chain(cost.references.iter().copied());
        let count = parts
            .fold(cost.schemas(), |sum: u64, part| sum.saturating_add(self.count(part, depth + 1)));
        self.known.insert(schema, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A chain of definitions, each of which refers to the next one twice.
    fn doubling(keyword: &str, reference: fn(usize) -> String) -> Value {
        let mut definitions = Map::new();
        for number in 0..30 {
            let next = json!({"$ref": reference(number + 1)});
            let schema = match keyword {
                "allOf" | "anyOf" | "oneOf" | "items" | "prefixItems" => {
                    json!({keyword: [next, next]})
                }
                "if" => json!({"if": next, "then": next}),
                "properties" => json!({"properties": {"a": next, "b": next}}),
                _ => json!({keyword: next, "not": next}),
            };
            let mut schema = schema;
            schema["$anchor"] = format!("d{number}").into();
            definitions.insert(format!("d{number}"), schema);
        }
        definitions.insert("d30".into(), json!({"$anchor": "d30"}));
        json!({"$defs": definitions, "$ref": reference(0)})
    }

    #[test]
    fn exponential_growth_is_detected_for_every_keyword_and_form_of_reference() {
        for keyword in [
            "allOf",
            "anyOf",
            "oneOf",
            "items",
            "prefixItems",
            "if",
            "properties",
            "contains",
            "additionalProperties",
            "propertyNames",
            "unevaluatedItems",
        ] {
            let schema = doubling(keyword, |number| format!("#/$defs/d{number}"));
            assert!(expanded_schemas(&schema) > 1 << 30, "{keyword}");
        }
        for reference in [
            (|number| format!("#d{number}")) as fn(usize) -> String,
            |number| format!("#/%24defs/d{number}"),
            |number| format!("x.json#/$defs/d{number}"),
        ] {
            let schema = doubling("allOf", reference);
            assert!(expanded_schemas(&schema) > 1 << 30, "{}", reference(0));
        }
    }
}
