//! The patterns of a schema, and the memory that they take once compiled.
//!
//! A pattern of ten letters can compile to hundreds of kilobytes. Each pattern is therefore compiled
//! alone first, to measure its size, before the schema is compiled with all of them.

use std::collections::{BTreeSet, HashMap};

use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};

use super::InvalidSchema;

/// Maximum number of different patterns in one schema.
pub const MAX_PATTERNS: usize = 100;
/// Maximum size of the text of all patterns of one schema.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// Maximum size of all compiled patterns of one schema.
pub const MAX_COMPILED_BYTES: usize = 8 << 20;
/// Maximum size of one compiled pattern with all its parts.
const MAX_PATTERN_BYTES: usize = 4 << 20;
/// Maximum size of one compiled part. A regular pattern is one part. Another pattern is split at
/// lookarounds and backreferences, and each part has its own automaton.
const MAX_PART_BYTES: usize = 256 << 10;
/// Limits that a part is compiled with, in this order, until it fits.
const PART_SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, MAX_PART_BYTES];
/// Maximum number of parts of all patterns, if one pattern is not regular.
const MAX_PARTS: usize = 300;
/// Maximum number of backtracking steps of one match.
const MAX_BACKTRACKS: usize = 10_000;

/// What a pattern is matched with. Patterns for names have no shortcuts and may take more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Value,
    Name,
}

/// The memory of the patterns of a schema.
#[derive(Debug, Default)]
pub struct Patterns {
    /// Compiled size by pattern.
    bytes: HashMap<String, usize>,
    /// Whether one of them is not regular, and needs a backtracking engine.
    pub backtrack: bool,
}

impl Patterns {
    /// All patterns in a schema, at any position, because a reference may lead anywhere.
    pub fn new(schema: &Value) -> Result<Patterns, InvalidSchema> {
        let mut patterns = Patterns::default();
        let mut parts = 0;
        for (text, subject) in written(schema)? {
            let (bytes, own_parts) = match regular_bytes(text, subject) {
                Some(bytes) => (bytes, 1),
                None => match other_bytes(text, subject)? {
                    Some(bytes) => {
                        patterns.backtrack = true;
                        (bytes, parts_of(text))
                    }
                    None => continue,
                },
            };
            parts += own_parts;
            let known = patterns.bytes.entry(text.to_owned()).or_default();
            *known = bytes.max(*known);
            if patterns.bytes() > MAX_COMPILED_BYTES {
                return Err(InvalidSchema(format!(
                    "its patterns take more than {MAX_COMPILED_BYTES} bytes when compiled"
                )));
            }
        }
        if patterns.backtrack && parts > MAX_PARTS {
            return Err(InvalidSchema(format!(
                "its patterns have more than {MAX_PARTS} groups, alternatives and repetitions, and \
                 one of them has a lookaround or a backreference"
            )));
        }
        Ok(patterns)
    }

    /// Compiled size of all patterns.
    pub fn bytes(&self) -> usize {
        self.bytes.values().sum()
    }

    /// Compiled size of one pattern.
    pub fn bytes_of(&self, pattern: &str) -> usize {
        self.bytes.get(pattern).copied().unwrap_or_default()
    }

    /// Compiled size of each pattern.
    pub fn each_bytes(&self) -> impl Iterator<Item = usize> {
        self.bytes.values().copied()
    }

    /// Compiles a schema that has no other patterns.
    pub fn build(&self, schema: &Value) -> Result<Validator, InvalidSchema> {
        build(schema, self.backtrack, MAX_PART_BYTES)
            .map_err(|error| InvalidSchema(super::shortened(&error.to_string())))
    }
}

/// The different patterns of a schema.
fn written(schema: &Value) -> Result<BTreeSet<(&str, Subject)>, InvalidSchema> {
    let mut found = BTreeSet::new();
    let mut text_bytes = 0;
    let mut left = vec![schema];
    while let Some(part) = left.pop() {
        match part {
            Value::Object(fields) => {
                let value = fields.get("pattern").and_then(Value::as_str);
                let names = fields.get("patternProperties").and_then(Value::as_object);
                let names = names.into_iter().flat_map(|patterns| patterns.keys());
                let names = names.map(|text| (text.as_str(), Subject::Name));
                for pattern in value.map(|text| (text, Subject::Value)).into_iter().chain(names) {
                    if found.insert(pattern) {
                        text_bytes += pattern.0.len();
                    }
                    if found.len() > MAX_PATTERNS {
                        return Err(InvalidSchema(format!(
                            "it has more than {MAX_PATTERNS} patterns"
                        )));
                    }
                }
                left.extend(fields.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    if text_bytes > MAX_TEXT_BYTES {
        return Err(InvalidSchema(format!("its patterns have more than {MAX_TEXT_BYTES} bytes")));
    }
    Ok(found)
}

/// Compiled size of a pattern that needs no backtracking.
fn regular_bytes(text: &str, subject: Subject) -> Option<usize> {
    // Possessive quantifiers differ between the engines: the other one does not backtrack into them.
    if ["*+", "++", "?+", "}+"].iter().any(|possessive| text.contains(possessive)) {
        return None;
    }
    let schema = schema_of(text, subject);
    PART_SIZES.into_iter().find(|size| build(&schema, false, *size).is_ok())
}

/// Maximum compiled size of all parts of another pattern. None if the pattern is malformed: it may be
/// part of an example, and otherwise the compiler rejects the schema.
fn other_bytes(text: &str, subject: Subject) -> Result<Option<usize>, InvalidSchema> {
    let refused = |why: &str| {
        let shown: String = text.chars().take(100).collect();
        Err(InvalidSchema(format!("the pattern '{shown}' {why}")))
    };
    if calls_groups(text) {
        return refused("calls a group, which JSON Schema lacks");
    }
    let parts = parts_of(text);
    if parts > MAX_PARTS {
        return refused("has too many groups, alternatives and repetitions");
    }
    let schema = schema_of(text, subject);
    match PART_SIZES.into_iter().find(|size| build(&schema, true, *size).is_ok()) {
        Some(size) if size * parts > MAX_PATTERN_BYTES => refused("takes too much memory"),
        size => Ok(size.map(|size| size * parts)),
    }
}

/// Upper bound of the parts that a pattern is split into: each begins or ends with one of these
/// characters.
fn parts_of(text: &str) -> usize {
    1 + text.bytes().filter(|byte| b"()|\\[{*+?".contains(byte)).count()
}

/// Whether a pattern calls one of its groups. Each call copies its group, so a few calls can take
/// more memory than there is.
fn calls_groups(text: &str) -> bool {
    let text = text.replace("\\\\", "");
    let numbered = |rest: &str| {
        let rest = rest.trim_start_matches(['+', '-']);
        rest.starts_with(|letter: char| letter.is_ascii_digit() || "R&".contains(letter))
    };
    text.contains("\\g") || text.contains("(?P>") || text.split("(?").skip(1).any(numbered)
}

fn schema_of(text: &str, subject: Subject) -> Value {
    match subject {
        Subject::Value => json!({"pattern": text}),
        // The second pattern disables the shortcuts for the first one.
        Subject::Name => json!({"patternProperties": {text: true, "[ab]c": true}}),
    }
}

fn build(
    schema: &Value,
    backtrack: bool,
    part_bytes: usize,
) -> Result<Validator, jsonschema::ValidationError<'_>> {
    let options = jsonschema::options();
    let options = if backtrack {
        let patterns = PatternOptions::fancy_regex().backtrack_limit(MAX_BACKTRACKS);
        options.with_pattern_options(patterns.size_limit(part_bytes).dfa_size_limit(part_bytes))
    } else {
        let patterns = PatternOptions::regex().size_limit(part_bytes);
        options.with_pattern_options(patterns.dfa_size_limit(MAX_PART_BYTES))
    };
    options.build(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(schema: &Value) -> String {
        Patterns::new(schema).expect_err("it is too much").to_string()
    }

    /// A schema with these patterns, each for a value of its own.
    fn values(patterns: impl Iterator<Item = String>) -> Value {
        let fields =
            patterns.enumerate().map(|(n, text)| (format!("p{n}"), json!({"pattern": text})));
        json!({"properties": fields.collect::<serde_json::Map<_, _>>()})
    }

    fn names(patterns: impl Iterator<Item = String>) -> Value {
        let patterns = patterns.map(|text| (text, json!({}))).collect::<serde_json::Map<_, _>>();
        json!({"patternProperties": patterns})
    }

    #[test]
    fn the_number_of_patterns_in_a_schema_is_limited() {
        let few = || (0..MAX_PATTERNS).map(|number| format!("[a-c]{number}"));
        let many = || (0..=MAX_PATTERNS).map(|number| format!("[a-c]{number}"));
        assert!(Patterns::new(&values(few())).is_ok());
        assert!(Patterns::new(&names(few())).is_ok());
        for schema in [
            values(many()),
            names(many()),
            json!({"propertyNames": {"anyOf": many().map(|p| json!({"pattern": p})).collect::<Vec<_>>()}}),
            json!({"x": {"y": [values(many())]}, "$ref": "#/x/y/0"}),
        ] {
            assert!(refusal(&schema).contains("more than 100 patterns"), "{schema:.100}");
        }
        let same = values((0..1000).map(|_| "^[a-c]+$".to_owned()));
        assert!(Patterns::new(&same).is_ok(), "the same pattern is compiled once");
        let property = json!({"properties": {"pattern": {"type": "string"}}});
        assert_eq!(Patterns::new(&property).expect("it has none").bytes(), 0);
    }

    #[test]
    fn the_patterns_of_a_schema_share_one_memory_limit() {
        let large = |count: usize| (0..count).map(|number| format!("^\\p{{L}}{{4}}|x{number}"));
        assert!(Patterns::new(&values(large(30))).is_ok());
        for schema in [values(large(40)), names(large(40))] {
            assert!(refusal(&schema).contains("more than 8388608 bytes"), "{schema:.100}");
        }
        let long = values((0..2).map(|number| format!("[a]{}{number}", "b".repeat(40 << 10))));
        assert!(refusal(&long).contains("more than 65536 bytes"));
    }

    /// Each alternative of a pattern with a lookaround is a part with its own automaton.
    #[test]
    fn the_parts_of_a_pattern_are_counted_together() {
        let alternatives = (0..40).map(|number| format!("|\\p{{L}}{{4}}b{number}*"));
        let pattern = format!("(?=x){}", alternatives.collect::<String>());
        let error = refusal(&json!({"pattern": pattern}));
        assert!(error.contains("takes too much memory"), "{error}");
        let one = |number| format!("^(?=.*[a-z])(?=.*\\d)[a-z\\d]{{{number},}}$");
        assert!(Patterns::new(&values((1..10).map(one))).is_ok());
        let error = refusal(&values((1..90).map(|number| format!("^(?!a{number}x)b"))));
        assert!(error.contains("more than 300 groups"), "{error}");
    }

    #[test]
    fn a_pattern_in_an_example_is_ignored() {
        let schema = json!({"default": {"pattern": "*.txt"}, "examples": [{"pattern": "("}]});
        let patterns = Patterns::new(&schema).expect("it has none");
        assert!(patterns.build(&schema).is_ok());
        let schema = json!({"pattern": "("});
        assert!(Patterns::new(&schema).expect("it may be an example").build(&schema).is_err());
    }

    #[test]
    fn a_pattern_that_calls_its_groups_is_rejected() {
        for call in ["\\g<a>", "(?P>a)", "(?&a)", "(?1)", "(?R)", "(?-1)"] {
            let error = refusal(&json!({"pattern": format!("(?=x)(?<a>y){call}{call}")}));
            assert!(error.contains("calls a group"), "{call}: {error}");
        }
        assert!(Patterns::new(&json!({"pattern": "^(?=x)(?:x|\\\\g)(?!y)(?<=x)$"})).is_ok());
    }

    #[test]
    fn patterns_match_alike_with_and_without_backtracking() {
        for (pattern, fits, misfit) in [
            ("^[a-z]{2}\\d$", "ab1", "ab"),
            ("^(?!a)\\w+$", "bc", "ab"),
            ("(.)\\1", "xx", "xy"),
            ("^(a|b)+$", "abab", "abc"),
            ("^\\S*$", "ab", "a b"),
        ] {
            let schema = json!({"pattern": pattern});
            let patterns = Patterns::new(&schema).expect("it is a pattern");
            assert!(patterns.bytes_of(pattern) > 0, "{pattern}");
            let validator = patterns.build(&schema).expect("it is a schema");
            assert!(validator.is_valid(&json!(fits)), "{pattern}");
            assert!(!validator.is_valid(&json!(misfit)), "{pattern}");
        }
    }
}
