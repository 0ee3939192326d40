//! Resolves the references of a schema.

use std::collections::HashMap;

use serde_json::Value;

/// The parts of a schema that references can refer to.
#[derive(Debug)]
pub struct References<'s> {
    root: &'s Value,
    /// By `$id`, `$anchor` and `$dynamicAnchor`, unresolved.
    names: HashMap<&'s str, &'s Value>,
    /// By the last segment of these names, because a name may be relative to another one.
    last_parts: HashMap<&'s str, &'s Value>,
}

impl<'s> References<'s> {
    pub fn new(root: &'s Value) -> References<'s> {
        let mut references = References { root, names: HashMap::new(), last_parts: HashMap::new() };
        let mut left = vec![root];
        while let Some(part) = left.pop() {
            match part {
                Value::Object(fields) => {
                    for keyword in ["$id", "id", "$anchor", "$dynamicAnchor"] {
                        if let Some(name) = fields.get(keyword).and_then(Value::as_str) {
                            references.add(name.trim_start_matches('#'), part);
                        }
                    }
                    left.extend(fields.values());
                }
                Value::Array(items) => left.extend(items),
                _ => {}
            }
        }
        references
    }

    fn add(&mut self, name: &'s str, part: &'s Value) {
        self.names.insert(name, part);
        self.last_parts.entry(last_part(name)).or_insert(part);
    }

    /// The target of a reference. The compiler rejects a reference without a target.
    pub fn find(&self, reference: &str) -> Option<&'s Value> {
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

    /// The part with this `$id`, which may be relative to another one.
    fn named(&self, name: &str) -> Option<&'s Value> {
        let found = self.names.get(name).or_else(|| self.last_parts.get(last_part(name)));
        found.copied()
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}

/// Decodes `%24defs` to `$defs`. [`Value::pointer`] decodes `~1` itself.
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

/// Size of all locations in the compiled schema. Each keyword stores its whole path, so a long name is
/// in memory once for each keyword below it.
pub fn location_bytes(schema: &Value) -> u64 {
    let mut bytes: u64 = 0;
    let mut left = vec![(schema, 0_u64)];
    while let Some((part, length)) = left.pop() {
        match part {
            Value::Object(fields) => {
                let ids = ["$id", "id"].iter().filter_map(|keyword| fields.get(*keyword)?.as_str());
                let length = length + ids.map(|id| id.len() as u64).sum::<u64>();
                for (name, field) in fields {
                    let length = length + 1 + name.len() as u64;
                    bytes = bytes.saturating_add(length);
                    left.push((field, length));
                }
            }
            Value::Array(items) => {
                // `/` and a number
                left.extend(items.iter().map(|item| (item, length + 4)));
            }
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_may_be_relative_to_another_one() {
        let schema = json!({"$defs": {"a": {"$id": "http://x.org/y/a.json"}}});
        let references = References::new(&schema);
        for name in ["http://x.org/y/a.json", "a.json", "y/a.json#"] {
            assert_eq!(references.find(name), Some(&schema["$defs"]["a"]), "{name}");
        }
        assert_eq!(references.find("#/$defs/b"), None);
    }

    /// Comparing each reference with each name would take 10¹⁰ comparisons at this size.
    #[test]
    fn the_time_to_resolve_references_grows_linearly_with_their_number() {
        const NAMES: usize = 100_000;
        let named = |number: usize| json!({"$id": format!("http://x/{number}/a{number}")});
        let schema = Value::Array((0..NAMES).map(named).collect());
        let references = References::new(&schema);
        for number in 0..NAMES {
            let found = references.find(&format!("http://y/{number}/z{number}"));
            assert!(found.is_some_and(|found| std::ptr::eq(found, &raw const schema)));
        }
    }

    #[test]
    fn a_long_name_counts_for_each_keyword_below_it() {
        let rows: serde_json::Map<_, _> =
            (0..100).map(|number| (number.to_string(), json!({"type": "string"}))).collect();
        let short = location_bytes(&json!({"properties": {"a": {"properties": rows}}}));
        assert!(short < 10_000, "{short}");
        let name = "a".repeat(10_000);
        assert!(location_bytes(&json!({"properties": {&name: {"properties": rows}}})) > 2_000_000);
        assert!(location_bytes(&json!({"$id": name, "properties": rows})) > 2_000_000);
    }
}
