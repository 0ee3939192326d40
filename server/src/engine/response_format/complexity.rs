//! Estimates the work for a schema before it is done, with every reference expanded at every use.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::cost::{KeywordCost, Sizes};
use super::patterns::Patterns;
use super::references::References;

/// Maximum depth of nested schemas, which bounds the stack of recursive functions.
const MAX_DEPTH: usize = 300;
/// Keywords whose value is a schema for the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords with a list of such schemas.
const SAME_LIST: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords with such schemas by name.
const SAME_MAP: [&str; 2] = ["dependentSchemas", "dependencies"];
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

/// Number of comparisons between parts of an answer and parts of a schema, if it is at most `most`.
/// Large parts count as several comparisons.
pub fn comparisons(schema: &Value, patterns: &Patterns, answer: &Value, most: u64) -> Option<u64> {
    let mut comparing = Comparing {
        references: References::new(schema),
        patterns,
        costs: HashMap::new(),
        known: HashMap::new(),
        sizes: Sizes::default(),
        left: most,
    };
    let count = comparing.compare(schema, answer, 0)?;
    (count <= most).then_some(count)
}

/// A part of a schema or of an answer, identified by its address.
type Part = *const Value;

/// Nested schemas for the same value, without the targets of references.
fn beside(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let same = SAME.iter().filter_map(|keyword| fields.get(*keyword));
    let lists = SAME_LIST.iter().filter_map(|keyword| fields.get(*keyword)?.as_array());
    let maps = SAME_MAP.iter().filter_map(|keyword| fields.get(*keyword)?.as_object());
    same.chain(lists.flatten()).chain(maps.flat_map(Map::values))
}

/// Nested schemas for each element or each other field of the value.
fn each(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
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
        let parts = beside(fields).chain(each(fields)).chain(by_name.flat_map(Map::values));
        let parts = parts.chain(cost.references.iter().copied());
        let count = parts
            .fold(cost.schemas(), |sum: u64, part| sum.saturating_add(self.count(part, depth + 1)));
        self.known.insert(schema, count);
        count
    }
}

struct Comparing<'s> {
    references: References<'s>,
    patterns: &'s Patterns,
    costs: HashMap<Part, Rc<KeywordCost<'s>>>,
    known: HashMap<(Part, Part), u64>,
    sizes: Sizes,
    /// Comparisons that may still be made.
    left: u64,
}

impl<'s> Comparing<'s> {
    /// None if it takes more comparisons than are left.
    fn compare(&mut self, schema: &'s Value, answer: &Value, depth: usize) -> Option<u64> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let Value::Object(fields) = schema else { return Some(1) };
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(answer));
        if let Some(count) = self.known.get(&pair) {
            return Some(*count);
        }
        let cost = self.cost(schema, fields);
        let mut count = cost.comparisons(answer, self.patterns, &mut self.sizes);
        self.left = self.left.checked_sub(count - 1)?;
        self.known.insert(pair, 1);
        for part in beside(fields).chain(cost.references.iter().copied()) {
            count = count.saturating_add(self.compare(part, answer, depth + 1)?);
        }
        count = count.saturating_add(self.compare_children(fields, answer, depth)?);
        self.known.insert(pair, count);
        Some(count)
    }

    fn compare_children(
        &mut self,
        fields: &'s Map<String, Value>,
        answer: &Value,
        depth: usize,
    ) -> Option<u64> {
        let properties = fields.get("properties").and_then(Value::as_object);
        let patterns = fields.get("patternProperties").and_then(Value::as_object);
        let mut count: u64 = 0;
        match answer {
            Value::Object(children) => {
                for (name, child) in children {
                    let own = properties.and_then(|properties| properties.get(name));
                    let matching = patterns.into_iter().flat_map(Map::values);
                    for part in own.into_iter().chain(matching).chain(each(fields)) {
                        count = count.saturating_add(self.compare(part, child, depth + 1)?);
                    }
                }
            }
            Value::Array(children) => {
                for child in children {
                    for part in each(fields) {
                        count = count.saturating_add(self.compare(part, child, depth + 1)?);
                    }
                }
            }
            _ => {}
        }
        Some(count)
    }

    fn cost(&mut self, schema: &'s Value, fields: &'s Map<String, Value>) -> Rc<KeywordCost<'s>> {
        let cost = self.costs.entry(schema);
        Rc::clone(cost.or_insert_with(|| Rc::new(KeywordCost::new(fields, &self.references))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn comparisons(schema: &Value, answer: &Value, most: u64) -> Option<u64> {
        let patterns = Patterns::new(schema).expect("they are patterns");
        super::comparisons(schema, &patterns, answer, most)
    }

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

    #[test]
    fn ordinary_schemas_take_little_work() {
        let tree = json!({"$defs": {"tree": {"type": "object", "properties": {
            "left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"},
            "value": {"type": "integer"}}}}, "$ref": "#/$defs/tree"});
        assert!(expanded_schemas(&tree) < 10);
        let mut answer = json!({"value": 1});
        for _ in 0..10 {
            answer = json!({"left": answer, "right": answer, "value": 1});
        }
        assert!(comparisons(&tree, &answer, 100_000).is_some_and(|count| count < 10_000));
        let row = json!({"properties": {"a": {"type": "number"}, "b": {"type": "string"}}});
        let table = json!({"type": "array", "items": row});
        let rows = Value::Array(vec![json!({"a": 1, "b": "x"}); 1000]);
        assert_eq!(comparisons(&table, &rows, 1_000_000), Some(3063));
    }

    #[test]
    fn a_long_chain_of_references_is_too_much() {
        let next = |number: usize| json!({"$ref": format!("#/$defs/{}", number + 1)});
        let definitions: Map<_, _> = (0..100_000).map(|n| (n.to_string(), next(n))).collect();
        let schema = json!({"$defs": definitions, "$ref": "#/$defs/0"});
        assert_eq!(expanded_schemas(&schema), u64::MAX);
        assert_eq!(comparisons(&schema, &json!(1), 1_000_000), None);
    }

    #[test]
    fn a_cycle_ends() {
        let schema = json!({"$ref": "#", "allOf": [{"$ref": "#"}], "$dynamicRef": "#"});
        assert!(expanded_schemas(&schema) < 10);
        assert!(comparisons(&schema, &json!([1]), 100).is_some());
    }
}
