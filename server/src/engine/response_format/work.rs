//! Estimates the work of validating an answer, before it is done.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::complexity::{Branch, MAX_DEPTH, Part, branches, each};
use super::cost::{KeywordCost, Sizes};
use super::patterns::Patterns;
use super::references::References;

/// Memory of an error without its paths and values.
const BYTES_PER_ERROR: u64 = 512;
/// Digits of a position in a list.
const DIGITS: u64 = 10;
/// Keywords whose schema applies to what no other schema has evaluated.
const UNEVALUATED: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];

/// The work of validating an answer, or `None` if it is more than `most` comparisons. A large
/// value counts as several.
pub fn validation_work(
    schema: &Value,
    patterns: &Patterns,
    answer: &Value,
    most: u64,
) -> Option<Work> {
    let mut comparing = Comparing {
        references: References::new(schema),
        patterns,
        costs: HashMap::new(),
        known: HashMap::new(),
        sizes: Sizes::default(),
        left: most,
    };
    let work = comparing.compare(Pass::Explain, schema, answer, 0)?;
    (work.comparisons <= most).then_some(work)
}

/// The work of comparing an answer with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// How often a part of the answer is compared with a part of the schema.
    pub comparisons: u64,
    /// Errors of alternatives that are in memory together, at most.
    pub errors: u64,
    /// Bytes of the schema's values in these errors.
    pub value_bytes: u64,
}

impl Work {
    const ONE: Work = Work { comparisons: 1, errors: 0, value_bytes: 0 };

    fn add(&mut self, other: Work) {
        self.comparisons = self.comparisons.saturating_add(other.comparisons);
        self.errors = self.errors.saturating_add(other.errors);
        self.value_bytes = self.value_bytes.saturating_add(other.value_bytes);
    }

    /// Memory that the errors take at most: each has a path in the answer and paths in the schema.
    pub fn error_bytes(&self, answer: &Value, location_bytes: u64) -> u64 {
        let (depth, path) = longest_path(answer);
        let paths = path.saturating_add(location_bytes.saturating_mul(depth + 1));
        self.errors.saturating_mul(BYTES_PER_ERROR + paths).saturating_add(self.value_bytes)
    }
}

/// The depth of a value, and the bytes of the longest path to a part of it.
fn longest_path(value: &Value) -> (u64, u64) {
    let below = |(depth, bytes): (u64, u64), (name, child): (u64, &Value)| {
        let (child_depth, child_bytes) = longest_path(child);
        // A slash and an escaped name.
        (depth.max(child_depth + 1), bytes.max(1 + 2 * name + child_bytes))
    };
    match value {
        Value::Array(items) => items.iter().map(|item| (DIGITS, item)).fold((0, 0), below),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.len() as u64, field)).fold((0, 0), below)
        }
        _ => (0, 0),
    }
}

/// The parts of an answer, each with the schemas that apply to it.
fn children<'s, 'a>(
    fields: &'s Map<String, Value>,
    answer: &'a Value,
) -> impl Iterator<Item = (&'s Value, &'a Value)> {
    let properties = fields.get("properties").and_then(Value::as_object);
    let patterns = fields.get("patternProperties").and_then(Value::as_object);
    let named = answer.as_object().into_iter().flatten().flat_map(move |(name, child)| {
        let own = properties.and_then(|properties| properties.get(name));
        let matching = patterns.into_iter().flat_map(Map::values);
        own.into_iter().chain(matching).chain(each(fields)).map(move |schema| (schema, child))
    });
    let items = answer.as_array().into_iter().flatten();
    named.chain(items.flat_map(|child| each(fields).map(move |schema| (schema, child))))
}

/// What the validator does with a schema and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pass {
    /// Finds out whether the value is valid.
    Validate,
    /// Finds the first error of a value.
    Explain,
    /// Collects all errors of a value, for the error of an `anyOf` or `oneOf` around it.
    Collect,
    /// Marks the parts of the value that a schema has evaluated, for the `unevaluatedProperties` or
    /// `unevaluatedItems` of a schema around it. It validates each alternative again.
    Mark,
}

impl Branch {
    /// The passes over it that one pass over the schema around it takes.
    fn passes(self, pass: Pass) -> &'static [Pass] {
        match (pass, self) {
            (Pass::Mark, _) => &[Pass::Validate, Pass::Mark],
            (Pass::Validate, _) | (_, Branch::Test) => &[Pass::Validate],
            (_, Branch::Alternative) => &[Pass::Validate, Pass::Collect],
            (Pass::Explain, _) => &[Pass::Explain],
            (Pass::Collect, _) => &[Pass::Collect],
        }
    }
}

struct Comparing<'s> {
    references: References<'s>,
    patterns: &'s Patterns,
    costs: HashMap<Part, Rc<KeywordCost<'s>>>,
    known: HashMap<(Pass, Part, Part), Work>,
    sizes: Sizes,
    /// Comparisons that may still be made.
    left: u64,
}

impl<'s> Comparing<'s> {
    /// `None` if it takes more comparisons than are left.
    fn compare(
        &mut self,
        pass: Pass,
        schema: &'s Value,
        answer: &Value,
        depth: usize,
    ) -> Option<Work> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let Value::Object(fields) = schema else {
            return Some(Work { errors: u64::from(pass == Pass::Collect), ..Work::ONE });
        };
        let key = (pass, std::ptr::from_ref(schema), std::ptr::from_ref(answer));
        if let Some(work) = self.known.get(&key) {
            return Some(*work);
        }
        let cost = self.cost(schema, fields);
        let comparisons = cost.comparisons(answer, self.patterns, &mut self.sizes);
        let (errors, value_bytes) = if pass == Pass::Collect { cost.errors() } else { (0, 0) };
        let mut work = Work { comparisons, errors, value_bytes };
        self.left = self.left.checked_sub(comparisons - 1)?;
        self.known.insert(key, Work::ONE);
        let references = cost.references.iter().map(|schema| (Branch::Always, *schema));
        for (branch, part) in branches(fields).chain(references) {
            for pass in branch.passes(pass) {
                work.add(self.compare(*pass, part, answer, depth + 1)?);
            }
        }
        if pass != Pass::Mark && UNEVALUATED.iter().any(|keyword| fields.contains_key(*keyword)) {
            work.add(self.compare(Pass::Mark, schema, answer, depth + 1)?);
        }
        let pass = if pass == Pass::Mark { Pass::Validate } else { pass };
        for (part, child) in children(fields, answer) {
            work.add(self.compare(pass, part, child, depth + 1)?);
        }
        self.known.insert(key, work);
        Some(work)
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
    use crate::engine::response_format::complexity::expanded_schemas;

    fn comparisons(schema: &Value, answer: &Value, most: u64) -> Option<u64> {
        let patterns = Patterns::new(schema).expect("they are patterns");
        super::validation_work(schema, &patterns, answer, most).map(|work| work.comparisons)
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

    /// Each level of these makes the validator validate the next one twice or more.
    #[test]
    fn schemas_that_are_validated_again_at_each_level_are_too_much() {
        let nested =
            |wrap: fn(Value) -> Value| (0..40).fold(json!({"type": "object"}), |s, _| wrap(s));
        for wrap in [
            |next| json!({"allOf": [next], "unevaluatedProperties": {"type": "object"}}),
            |next| json!({"anyOf": [next], "unevaluatedProperties": {"type": "object"}}),
            |next| json!({"oneOf": [next], "unevaluatedProperties": false}),
            |next| json!({"if": next, "unevaluatedProperties": false}),
            |next| json!({"if": {}, "then": next, "unevaluatedItems": {}}),
            |next| json!({"allOf": [next], "unevaluatedItems": {"type": "object"}}),
            |next| json!({"dependentSchemas": {"a": next}, "unevaluatedProperties": {}}),
        ] as [fn(Value) -> Value; 7]
        {
            for answer in [json!({}), json!({"a": 1}), json!([]), json!([1])] {
                assert_eq!(
                    comparisons(&nested(wrap), &answer, 1_000_000),
                    None,
                    "{}",
                    wrap(json!({}))
                );
            }
        }
        let recursive = json!({"unevaluatedProperties": {"$ref": "#"}, "not": {"type": "integer"}});
        let answer = (0..40).fold(json!(1), |answer, _| json!({"a": answer}));
        assert_eq!(comparisons(&recursive, &answer, 1_000_000), None);
    }

    /// Errors of nested alternatives are quadratic in their depth, not exponential.
    #[test]
    fn ordinary_alternatives_and_closed_objects_are_little_work() {
        let nested = (0..20).fold(json!({"type": "object"}), |next, _| json!({"anyOf": [next]}));
        assert!(comparisons(&nested, &json!(1), 10_000).is_some_and(|count| count < 500));
        let closed = json!({
            "allOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "string"}}}],
            "unevaluatedProperties": false
        });
        assert!(comparisons(&closed, &json!({"a": "", "b": ""}), 1_000).is_some());
    }

    #[test]
    fn errors_of_alternatives_take_the_memory_of_their_paths() {
        let schema = json!({"anyOf": [{"additionalProperties": {"items": {"type": "integer"}}}]});
        let answer = json!({"n".repeat(10_000): vec!["a"; 2000]});
        let patterns = Patterns::new(&schema).expect("they are patterns");
        let work =
            super::validation_work(&schema, &patterns, &answer, 1_000_000).expect("it is not much");
        assert!(work.error_bytes(&answer, 100) > 2000 * 10_000, "{work:?}");
        let short = json!({"n": vec!["a"; 20]});
        let work =
            super::validation_work(&schema, &patterns, &short, 1_000_000).expect("it is not much");
        assert!(work.error_bytes(&short, 100) < 100 << 10, "{work:?}");
    }

    #[test]
    fn a_cycle_ends() {
        let schema = json!({"$ref": "#", "allOf": [{"$ref": "#"}], "$dynamicRef": "#"});
        assert!(expanded_schemas(&schema) < 10);
        assert!(comparisons(&schema, &json!([1]), 100).is_some());
    }
}
