//! How much work a schema is, before it is done: what its references come to, each followed wherever it
//! stands.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// How many schemas may lead from one to the next, so that who follows them has a stack for it.
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
/// Keywords that lead elsewhere.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// The schemas that one comes to when each reference is followed; a circle is followed once.
pub fn of_schema(schema: &Value) -> u64 {
    Places::of(schema).count(schema, &mut HashMap::new(), 0)
}

/// How often a part of the answer is compared with a part of the schema, where that is no more than
/// `most`.
pub fn of_answer(schema: &Value, answer: &Value, most: u64) -> Option<u64> {
    let places = Places::of(schema);
    let mut known = HashMap::new();
    let mut left = most;
    let count = places.compare(schema, answer, &mut known, &mut left, 0)?;
    (count <= most).then_some(count)
}

/// A part of a schema or of an answer, told from all others by where it lies.
type Part = *const Value;

/// Where the references of a schema lead.
struct Places<'s> {
    root: &'s Value,
    /// By `$id`, `$anchor` and `$dynamicAnchor`, as they are written.
    names: HashMap<&'s str, &'s Value>,
}

impl<'s> Places<'s> {
    fn of(root: &'s Value) -> Places<'s> {
        let mut names = HashMap::new();
        let mut left = vec![root];
        while let Some(part) = left.pop() {
            match part {
                Value::Object(fields) => {
                    for keyword in ["$id", "id", "$anchor", "$dynamicAnchor"] {
                        if let Some(name) = fields.get(keyword).and_then(Value::as_str) {
                            names.insert(name.trim_start_matches('#'), part);
                        }
                    }
                    left.extend(fields.values());
                }
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
        Places { root, names }
    }

    /// Where a reference leads. One that leads nowhere here is refused by whoever compiles the schema.
    fn find(&self, reference: &str) -> Option<&'s Value> {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let base = match document {
            "" => self.root,
            name => self.named(name).unwrap_or(self.root),
        };
        if fragment.is_empty() {
            return Some(base);
        }
        let fragment = percent_decoded(fragment);
        if fragment.starts_with('/') {
            base.pointer(&fragment).or_else(|| self.root.pointer(&fragment))
        } else {
            self.names.get(fragment.as_str()).copied()
        }
    }

    /// The part with this `$id`, which may be written relative to another one.
    fn named(&self, name: &str) -> Option<&'s Value> {
        let found = self.names.get(name).copied();
        found.or_else(|| {
            let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
            let mut names = self.names.iter();
            names.find(|(known, _)| last(known) == last(name)).map(|(_, part)| *part)
        })
    }

    /// Schemas for the same value as this one is for.
    fn beside(&self, fields: &'s Map<String, Value>) -> Vec<&'s Value> {
        let mut found = Vec::new();
        found.extend(SAME.iter().filter_map(|keyword| fields.get(*keyword)));
        let lists = SAME_LIST.iter().filter_map(|keyword| fields.get(*keyword)?.as_array());
        found.extend(lists.flatten());
        let maps = SAME_MAP.iter().filter_map(|keyword| fields.get(*keyword)?.as_object());
        found.extend(maps.flat_map(Map::values));
        let references = REFERENCES.iter().filter_map(|keyword| fields.get(*keyword)?.as_str());
        found.extend(references.filter_map(|reference| self.find(reference)));
        found
    }

    /// Schemas for what is in the value.
    fn below(fields: &'s Map<String, Value>) -> Vec<&'s Value> {
        let mut found = Vec::new();
        for keyword in EACH.iter().filter_map(|keyword| fields.get(*keyword)) {
            match keyword {
                Value::Array(schemas) => found.extend(schemas),
                schema => found.push(schema),
            }
        }
        found.extend(fields.get("prefixItems").and_then(Value::as_array).into_iter().flatten());
        for keyword in ["properties", "patternProperties"] {
            let schemas = fields.get(keyword).and_then(Value::as_object);
            found.extend(schemas.into_iter().flat_map(Map::values));
        }
        found
    }

    fn count(&self, schema: &'s Value, known: &mut HashMap<Part, u64>, depth: usize) -> u64 {
        if depth > MAX_DEPTH {
            return u64::MAX;
        }
        if let Some(count) = known.get(&std::ptr::from_ref(schema)) {
            return *count;
        }
        let Value::Object(fields) = schema else { return 1 };
        // What leads back here is counted once.
        known.insert(schema, 1);
        let parts = self.beside(fields).into_iter().chain(Places::below(fields));
        let count =
            parts.fold(1, |sum: u64, part| sum.saturating_add(self.count(part, known, depth + 1)));
        known.insert(schema, count);
        count
    }

    /// Nothing where there are more pairs than are left.
    fn compare(
        &self,
        schema: &'s Value,
        answer: &Value,
        known: &mut HashMap<(Part, Part), u64>,
        left: &mut u64,
        depth: usize,
    ) -> Option<u64> {
        if depth > MAX_DEPTH {
            return None;
        }
        let Value::Object(fields) = schema else { return Some(1) };
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(answer));
        if let Some(count) = known.get(&pair) {
            return Some(*count);
        }
        *left = left.checked_sub(1)?;
        known.insert(pair, 1);
        let mut count: u64 = 1;
        for part in self.beside(fields) {
            count = count.saturating_add(self.compare(part, answer, known, left, depth + 1)?);
        }
        let children: Vec<(Option<&str>, &Value)> = match answer {
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (Some(name.as_str()), value)).collect()
            }
            Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
            _ => Vec::new(),
        };
        let properties = fields.get("properties").and_then(Value::as_object);
        let patterns = fields.get("patternProperties").and_then(Value::as_object);
        for (name, child) in children {
            let own = name.and_then(|name| properties?.get(name));
            let matching = name.and(patterns).into_iter().flat_map(Map::values);
            let each = EACH.iter().filter_map(|keyword| fields.get(*keyword)).flat_map(|schema| {
                schema.as_array().map_or(std::slice::from_ref(schema), Vec::as_slice)
            });
            let first = fields.get("prefixItems").and_then(Value::as_array).into_iter().flatten();
            for part in own.into_iter().chain(matching).chain(each).chain(first) {
                count = count.saturating_add(self.compare(part, child, known, left, depth + 1)?);
            }
        }
        known.insert(pair, count);
        Some(count)
    }
}

/// `~1` is for [`Value::pointer`]; `%24defs` is what a URL makes of `$defs`.
fn percent_decoded(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%');
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A chain of definitions, each of which names the next one twice.
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
    fn what_doubles_is_seen_in_every_keyword_and_every_spelling_of_a_reference() {
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
            assert!(of_schema(&schema) > 1 << 30, "{keyword}");
        }
        for reference in [
            (|number| format!("#d{number}")) as fn(usize) -> String,
            |number| format!("#/%24defs/d{number}"),
            |number| format!("x.json#/$defs/d{number}"),
        ] {
            let schema = doubling("allOf", reference);
            assert!(of_schema(&schema) > 1 << 30, "{}", reference(0));
        }
    }

    #[test]
    fn ordinary_schemas_are_little_work() {
        let tree = json!({"$defs": {"tree": {"type": "object", "properties": {
            "left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"},
            "value": {"type": "integer"}}}}, "$ref": "#/$defs/tree"});
        assert!(of_schema(&tree) < 10);
        let mut answer = json!({"value": 1});
        for _ in 0..10 {
            answer = json!({"left": answer, "right": answer, "value": 1});
        }
        assert!(of_answer(&tree, &answer, 100_000).is_some_and(|count| count < 10_000));
        let row = json!({"properties": {"a": {"type": "number"}, "b": {"type": "string"}}});
        let table = json!({"type": "array", "items": row});
        let rows = Value::Array(vec![json!({"a": 1, "b": "x"}); 1000]);
        assert_eq!(of_answer(&table, &rows, 1_000_000), Some(3001));
    }

    #[test]
    fn a_long_way_from_one_schema_to_the_next_is_too_much() {
        let next = |number: usize| json!({"$ref": format!("#/$defs/{}", number + 1)});
        let definitions: Map<_, _> = (0..100_000).map(|n| (n.to_string(), next(n))).collect();
        let schema = json!({"$defs": definitions, "$ref": "#/$defs/0"});
        assert_eq!(of_schema(&schema), u64::MAX);
        assert_eq!(of_answer(&schema, &json!(1), 1_000_000), None);
    }

    #[test]
    fn a_circle_comes_to_an_end() {
        let schema = json!({"$ref": "#", "allOf": [{"$ref": "#"}], "$dynamicRef": "#"});
        assert!(of_schema(&schema) < 10);
        assert!(of_answer(&schema, &json!([1]), 100).is_some());
    }
}
