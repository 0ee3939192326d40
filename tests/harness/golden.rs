//! Documented exchanges, compared with what the server says.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// `<name>` stands for anything, and for the same thing wherever it is repeated.
pub fn same(found: &Value, wanted: &Value, names: &mut HashMap<String, Value>, place: &str) {
    match (found, wanted) {
        (_, Value::String(name)) if name.starts_with('<') => {
            let known = names.entry(name.clone()).or_insert_with(|| found.clone());
            assert_eq!(found, known, "{place}: {name}");
        }
        (Value::Object(found), Value::Object(wanted)) => {
            let names_of = |fields: &serde_json::Map<String, Value>| {
                fields.keys().cloned().collect::<HashSet<_>>()
            };
            assert_eq!(names_of(found), names_of(wanted), "{place}");
            for (name, value) in found {
                same(value, &wanted[name], names, &format!("{place}.{name}"));
            }
        }
        (Value::Array(found), Value::Array(wanted)) => {
            assert_eq!(found.len(), wanted.len(), "{place}");
            for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
                same(found, wanted, names, &format!("{place}[{at}]"));
            }
        }
        _ => assert_eq!(found, wanted, "{place}"),
    }
}
