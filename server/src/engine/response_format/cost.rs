//! Estimates the cost of comparing one part of an answer with one part of a schema, without their
//! nested parts.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::patterns::Patterns;
use super::references::References;

/// Steps of a few nanoseconds that count as one comparison.
const STEPS_PER_COMPARISON: u64 = 16;
/// Bytes of a text that are compared in one step.
const BYTES_PER_STEP: u64 = 16;
/// The compiled memory of a pattern that takes one step for each byte of a text. An automaton in more
/// memory has more states to follow.
const COMPILED_BYTES_PER_STEP: u64 = 4 << 10;
/// Of a match with backtracking, independent of the length of the text.
const BACKTRACKING_STEPS: u64 = 800;
/// Such a match may read the text from each of its bytes on, up to this number.
const MAX_BACKTRACKED_BYTES: u64 = 10_000;
/// Bytes that it reads in one step.
const BACKTRACKED_BYTES_PER_STEP: u64 = 1 << 10;
/// Bytes of a text that must be a pattern, which is parsed again for some of its characters.
const PARSED_BYTES_PER_STEP: u64 = 16;
/// How often a value is visited to check that it is unique in a list.
const LOOKS_PER_UNIQUE_ITEM: u64 = 8;
/// Memory of a value of a schema that an error repeats, for each step of it.
const BYTES_PER_VALUE: u64 = 128;
/// Keywords whose value is a list of names that are looked up, or has such lists in it.
const LOOKED_UP: [&str; 3] = ["required", "dependentRequired", "dependencies"];
/// Keywords with a reference.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// The cost of one part of a schema, for any value.
#[derive(Debug)]
pub struct KeywordCost<'s> {
    /// Targets of its references.
    pub references: Vec<&'s Value>,
    keywords: u64,
    /// To look at all values of its keywords.
    value_steps: u64,
    /// For any value.
    any_steps: u64,
    /// For an object.
    object_steps: u64,
    unique: bool,
    pattern: Option<&'s str>,
    /// That each name of an object is matched with.
    name_patterns: Vec<&'s str>,
    /// Whether names may be matched with any pattern of the schema.
    all_name_patterns: bool,
    /// Whether a text has to be a pattern.
    is_regex: bool,
}

impl<'s> KeywordCost<'s> {
    pub fn new(fields: &'s Map<String, Value>, references: &References<'s>) -> KeywordCost<'s> {
        let names = REFERENCES.iter().filter_map(|keyword| fields.get(*keyword)?.as_str());
        let properties = fields.get("properties").and_then(Value::as_object).map_or(0, Map::len);
        let patterns = fields.get("patternProperties").and_then(Value::as_object);
        let mut name_patterns: Vec<&str> =
            patterns.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let only = fields.get("propertyNames").map(only_pattern);
        if let Some(Some(pattern)) = only {
            name_patterns.extend(pattern);
        }
        let alternatives = fields.get("enum");
        let looked_up = properties as u64 + looked_up(fields);
        let constant = steps(fields.get("const"));
        KeywordCost {
            references: names.filter_map(|name| references.find(name)).collect(),
            keywords: fields.len() as u64,
            value_steps: steps(alternatives) + constant + looked_up,
            any_steps: alternatives_steps(alternatives) + constant,
            object_steps: looked_up,
            unique: fields.get("uniqueItems").is_some_and(|unique| *unique == true),
            pattern: fields.get("pattern").and_then(Value::as_str),
            name_patterns,
            all_name_patterns: matches!(only, Some(None)),
            is_regex: fields.get("format").is_some_and(|format| format == "regex"),
        }
    }

    /// In schemas, for the memory that the keywords of this one take.
    pub fn schemas(&self) -> u64 {
        1 + self.value_steps / STEPS_PER_COMPARISON
    }

    /// An upper bound of the errors of one value, and of the bytes of the values in them.
    pub fn errors(&self) -> (u64, u64) {
        let pattern = self.pattern.map_or(0, str::len) as u64;
        (
            self.keywords + self.object_steps,
            self.value_steps.saturating_mul(BYTES_PER_VALUE) + pattern,
        )
    }

    /// In comparisons.
    pub fn comparisons(&self, answer: &Value, patterns: &Patterns, sizes: &mut Sizes) -> u64 {
        let own = match answer {
            Value::String(text) => self.text_steps(text.len() as u64, patterns),
            Value::Object(fields) => {
                let names = fields.keys().map(|name| name.len() as u64);
                names.fold(fields.len() as u64 + self.object_steps, |steps, bytes| {
                    steps.saturating_add(self.name_steps(bytes, patterns))
                })
            }
            Value::Array(_) if self.unique => {
                sizes.of(answer).saturating_mul(LOOKS_PER_UNIQUE_ITEM)
            }
            Value::Array(items) => items.len() as u64,
            _ => 0,
        };
        1 + own.saturating_add(self.any_steps) / STEPS_PER_COMPARISON
    }
}

impl KeywordCost<'_> {
    fn text_steps(&self, bytes: u64, patterns: &Patterns) -> u64 {
        let pattern =
            self.pattern.map_or(0, |text| match_steps(patterns.bytes_of(text), patterns, bytes));
        let regex = match self.is_regex {
            true => bytes.saturating_mul(bytes) / PARSED_BYTES_PER_STEP,
            false => 0,
        };
        pattern.saturating_add(regex).saturating_add(bytes / BYTES_PER_STEP)
    }

    fn name_steps(&self, bytes: u64, patterns: &Patterns) -> u64 {
        let own = self.name_patterns.iter().map(|text| patterns.bytes_of(text));
        let all = patterns.each_bytes().filter(|_| self.all_name_patterns);
        own.chain(all).fold(0, |steps: u64, compiled| {
            steps.saturating_add(match_steps(compiled, patterns, bytes))
        })
    }
}

/// The steps to visit each part of an answer completely, by its address.
#[derive(Debug, Default)]
pub struct Sizes(HashMap<*const Value, u64>);

impl Sizes {
    fn of(&mut self, value: &Value) -> u64 {
        if let Some(size) = self.0.get(&std::ptr::from_ref(value)) {
            return *size;
        }
        let size = match value {
            Value::Array(items) => items.iter().map(|item| self.of(item)).sum::<u64>(),
            Value::Object(fields) => fields.values().map(|field| self.of(field)).sum(),
            Value::String(text) => return 1 + text.len() as u64 / BYTES_PER_STEP,
            _ => return 1,
        };
        self.0.insert(value, size + 1);
        size + 1
    }
}

/// Steps to visit all nested values and texts.
fn steps(value: Option<&Value>) -> u64 {
    let mut steps = 0;
    let mut left: Vec<&Value> = value.into_iter().collect();
    while let Some(part) = left.pop() {
        steps += 1;
        match part {
            Value::Array(items) => left.extend(items),
            Value::Object(fields) => left.extend(fields.values()),
            Value::String(text) => steps += text.len() as u64 / BYTES_PER_STEP,
            _ => {}
        }
    }
    steps
}

/// Texts are found by hash; other values are compared one by one.
fn alternatives_steps(alternatives: Option<&Value>) -> u64 {
    let items = alternatives.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match items.iter().all(|item| item.is_string() || item.is_null()) {
        true => 0,
        false => steps(alternatives),
    }
}

fn looked_up(fields: &Map<String, Value>) -> u64 {
    let lists = LOOKED_UP.iter().filter_map(|keyword| fields.get(*keyword));
    let names = |value: &Value| value.as_array().map_or(0, Vec::len) as u64;
    lists
        .map(|value| match value {
            Value::Object(fields) => fields.len() as u64 + fields.values().map(names).sum::<u64>(),
            value => names(value),
        })
        .sum()
}

/// The only pattern that names are matched with. None if there may be more patterns.
fn only_pattern(names: &Value) -> Option<Option<&str>> {
    let Value::Object(fields) = names else { return Some(None) };
    let simple = fields.iter().all(|(keyword, value)| {
        !REFERENCES.contains(&keyword.as_str()) && !value.is_object() && !value.is_array()
    });
    simple.then(|| fields.get("pattern").and_then(Value::as_str))
}

fn match_steps(compiled_bytes: usize, patterns: &Patterns, text_bytes: u64) -> u64 {
    let once = text_bytes.saturating_mul(compiled_bytes as u64) / COMPILED_BYTES_PER_STEP;
    if !patterns.backtrack {
        return 1 + once;
    }
    let again = text_bytes.min(MAX_BACKTRACKED_BYTES).saturating_mul(text_bytes);
    BACKTRACKING_STEPS + once.saturating_add(again / BACKTRACKED_BYTES_PER_STEP)
}
