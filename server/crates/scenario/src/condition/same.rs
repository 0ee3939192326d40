//! Compares two texts while ignoring the parts that change each time.

use std::borrow::Cow;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::template;
use redaction::REDACTED;

/// Placeholder for a text that a recording omits.
pub const IGNORED: &str = "[ignored]";

/// Patterns for text that changes each time and is ignored: a date, an id, a path.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Ignore(Vec<Regex>);

impl TryFrom<Vec<String>> for Ignore {
    type Error = String;

    fn try_from(patterns: Vec<String>) -> Result<Ignore, String> {
        let regex = |pattern: String| match template::compile(&pattern) {
            Ok(regex) if regex.is_match("") => {
                Err(format!("`{pattern}` matches the empty text, which is everywhere"))
            }
            Ok(regex) => Ok(regex),
            Err(error) => Err(error),
        };
        Ok(Ignore(patterns.into_iter().map(regex).collect::<Result<_, _>>()?))
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
        self.0.iter().map(Regex::as_str)
    }

    /// The text without the ignored parts; borrowed if it contains none.
    pub fn without<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for regex in &self.0 {
            if let Cow::Owned(replaced) = regex.replace_all(&text, regex::NoExpand(IGNORED)) {
                text = Cow::Owned(replaced);
            }
        }
        text
    }

    /// The same for every string of a JSON value, and for numbers that are ignored as a whole.
    pub fn without_json(&self, json: &Json) -> Json {
        if self.is_empty() {
            return json.clone();
        }
        match json {
            Json::String(text) => self.without(text).into_owned().into(),
            Json::Number(number) => {
                let text = number.to_string();
                let whole =
                    |regex: &Regex| regex.find(&text).is_some_and(|m| m.len() == text.len());
                if self.0.iter().any(whole) { IGNORED.into() } else { json.clone() }
            }
            Json::Array(items) => items.iter().map(|item| self.without_json(item)).collect(),
            Json::Object(fields) => {
                let fields = fields.iter();
                Json::Object(fields.map(|(k, v)| (k.clone(), self.without_json(v))).collect())
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
        assert_eq!(ignore.without_json(&json), wanted);
        assert!(
            Ignore::try_from(vec!["x*".into()]).expect_err("it is empty").contains("everywhere")
        );
        assert!(Ignore::try_from(vec!["(".into()]).is_err());
    }
}
