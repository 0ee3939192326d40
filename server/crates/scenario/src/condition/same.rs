//! Compares two texts while ignoring the parts that change each time.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::pattern::Pattern;
use redaction::REDACTED;

/// Placeholder for a text that a recording omits.
pub const IGNORED: &str = "[ignored]";

/// Patterns for text that changes each time and is ignored: a date, an id, a path.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Ignore(Vec<Pattern>);

/// Whether a pattern may search a text of this length.
type MaySearch<'m> = &'m dyn Fn(&Pattern, usize) -> bool;

impl TryFrom<Vec<String>> for Ignore {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Ignore, String> {
        let compiled = |text: String| match Pattern::compile(&text) {
            Ok(pattern) if pattern.regex.is_match("") => {
                Err(format!("`{text}` matches the empty text, which is everywhere"))
            }
            compiled => compiled,
        };
        Ok(Ignore(patterns.into_iter().map(compiled).collect::<Result<_, _>>()?))
    }
}

impl Ignore {
    /// Number of patterns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| pattern.regex.as_str())
    }

    /// The text without the ignored parts; borrowed if it contains none. Patterns leave longer texts
    /// unchanged than they may search.
    pub fn without<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.without_if(text, &|pattern, bytes| bytes <= pattern.max_text_bytes)
    }

    /// The same, with the patterns that may search a text of its length.
    pub fn without_if<'t>(&self, text: &'t str, may_search: MaySearch<'_>) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.0 {
            if !may_search(pattern, text.len()) {
                continue;
            }
            // Each match begins another search, so the time is checked after each.
            let (mut replaced, mut end) = (String::new(), 0);
            for found in pattern.regex.find_iter(&text) {
                if !may_search(pattern, 0) {
                    return Cow::Owned(text.into_owned());
                }
                replaced += &text[end..found.start()];
                replaced += IGNORED;
                end = found.end();
            }
            if end > 0 {
                replaced += &text[end..];
                text = Cow::Owned(replaced);
            }
        }
        text
    }

    /// The same for every string of a JSON value, and for numbers that are ignored as a whole.
    pub fn without_json<'j>(&self, json: &'j Json) -> Cow<'j, Json> {
        self.without_json_if(json, &|pattern, bytes| bytes <= pattern.max_text_bytes)
    }

    pub fn without_json_if<'j>(&self, json: &'j Json, may_search: MaySearch<'_>) -> Cow<'j, Json> {
        match self.is_empty() {
            true => Cow::Borrowed(json),
            false => Cow::Owned(self.replaced(json, may_search)),
        }
    }

    fn replaced(&self, json: &Json, may_search: MaySearch<'_>) -> Json {
        let replaced = |json: &Json| self.replaced(json, may_search);
        match json {
            Json::String(text) => self.without_if(text, may_search).into_owned().into(),
            Json::Number(number) => {
                let text = number.to_string();
                let whole = |pattern: &Pattern| {
                    pattern.regex.find(&text).is_some_and(|found| found.len() == text.len())
                };
                if self.0.iter().any(whole) { IGNORED.into() } else { json.clone() }
            }
            Json::Array(items) => items.iter().map(replaced).collect(),
            Json::Object(fields) => {
                let fields = fields.iter();
                Json::Object(fields.map(|(k, v)| (k.clone(), replaced(v))).collect())
            }
            Json::Null | Json::Bool(_) => json.clone(),
        }
    }
}

/// Whether a text equals the wanted one. A redacted secret in the wanted text matches any text.
pub fn same_text(wanted: &str, got: &str) -> bool {
    let mut pieces = wanted.split(REDACTED);
    let (first, mut rest) = (pieces.next().unwrap_or_default(), got);
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return wanted == got };
    match rest.strip_prefix(first) {
        Some(after) => rest = after,
        None => return false,
    }
    for piece in between {
        let Some(at) = after_a_letter(rest).and_then(|from| Some(from + rest[from..].find(piece)?))
        else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.strip_suffix(last).is_some_and(|secret| !secret.is_empty())
}

/// Offset of the second character: a secret has at least one.
fn after_a_letter(text: &str) -> Option<usize> {
    text.chars().next().map(char::len_utf8)
}

/// Whether a JSON value equals the wanted one. `1` equals `1.0`: which one is sent depends on the
/// language of the client.
pub fn same_json(wanted: &Json, got: &Json) -> bool {
    match (wanted, got) {
        (Json::String(wanted), Json::String(got)) => same_text(wanted, got),
        (Json::Number(wanted), Json::Number(got)) => {
            wanted == got || wanted.as_f64().is_some_and(|wanted| got.as_f64() == Some(wanted))
        }
        (Json::Array(wanted), Json::Array(got)) => {
            wanted.len() == got.len() && wanted.iter().zip(got).all(|(w, g)| same_json(w, g))
        }
        (Json::Object(wanted), Json::Object(got)) => {
            wanted.len() == got.len()
                && wanted.iter().all(|(name, w)| got.get(name).is_some_and(|g| same_json(w, g)))
        }
        // A whole value that was redacted or ignored.
        (Json::String(wanted), _) => wanted == REDACTED,
        (wanted, got) => wanted == got,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_redacted_secret_matches_any_text_that_is_not_empty() {
        for (wanted, got, same) in [
            ("a", "a", true),
            ("a", "b", false),
            ("Use [redacted].", "Use xyz.", true),
            ("Use [redacted].", "Use .", false),
            ("Use [redacted].", "Use xyz", false),
            ("[redacted]", "x", true),
            ("[redacted] and [redacted]", "a and b", true),
            ("[redacted] and [redacted]", " and b", false),
            ("[redacted] and [redacted]", "a and b and c", true),
            ("[redacted][redacted]", "ä", false),
            ("[redacted][redacted]", "äö", true),
            ("x[redacted]x", "xx", false),
        ] {
            assert_eq!(same_text(wanted, got), same, "{wanted} {got}");
        }
    }

    #[test]
    fn numbers_are_compared_by_their_value() {
        assert!(same_json(&json!({"a": [1, 2.5]}), &json!({"a": [1.0, 2.5]})));
        assert!(!same_json(&json!({"a": 1}), &json!({"a": 1, "b": 2})));
        assert!(!same_json(&json!(1), &json!("1")));
        assert!(same_json(&json!({"key": "[redacted]"}), &json!({"key": "k"})));
    }

    #[test]
    fn what_is_ignored_is_left_out_of_texts_and_json() {
        let ignore = Ignore::try_from(vec![r"\d{4}-\d\d-\d\d".into(), r"17\d+".into()]);
        let ignore = ignore.expect("they are right");
        assert_eq!(ignore.without("on 2026-11-28, $1"), "on [ignored], $1");
        let json = json!({"at": 1732800000, "day": "2026-11-28", "n": 2});
        let wanted = json!({"at": IGNORED, "day": IGNORED, "n": 2});
        assert_eq!(*ignore.without_json(&json), wanted);
        assert!(
            Ignore::try_from(vec!["x*".into()]).expect_err("it is empty").contains("everywhere")
        );
        assert!(Ignore::try_from(vec!["(".into()]).is_err());
    }
}
