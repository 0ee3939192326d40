//! What must not stand in a file that people pass on.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use regex::{Captures, Regex, RegexBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// What stands in the place of a secret.
pub const REDACTED: &str = "[redacted]";
/// A secret that is shorter may be an ordinary word, and is looked for as a whole one.
const LONG_ENOUGH: usize = 8;

/// What keys look like, wherever they stand: the group `key` is the key, all else stays.
static KEYS: LazyLock<[Regex; 6]> = LazyLock::new(|| {
    [
        r"(?<key>AIza[0-9A-Za-z_-]{20,})",
        r"(?<key>\b(?:sk|rk|pk)-[0-9A-Za-z_-]{16,})",
        r"(?<key>\bya29\.[0-9A-Za-z_-]{8,})",
        r"[?&]key=(?<key>[^&\s'\x22]+)",
        r#"(?:x-goog-api-key|x-api-key|authorization)['"]?\s*[:=]\s*['"]?(?:(?:bearer|basic)\s+)?(?<key>[^\s'",;}]+)"#,
        r"\bbearer\s+(?<key>[0-9A-Za-z._~+/=-]{8,})",
    ]
    .map(|pattern| {
        let pattern = RegexBuilder::new(pattern).case_insensitive(true).build();
        pattern.expect("the pattern is right")
    })
});

/// The keys that this server knows, and what keys look like.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Arc<[SecretString]>);

impl Secrets {
    pub fn new(keys: impl IntoIterator<Item = SecretString>) -> Secrets {
        let mut keys: Vec<SecretString> =
            keys.into_iter().filter(|key| !key.expose_secret().is_empty()).collect();
        // One may be a part of another.
        keys.sort_by_key(|key| std::cmp::Reverse(key.expose_secret().len()));
        Secrets(keys.into())
    }

    /// The text without secrets: the same one, where it has none.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for key in self.0.iter().map(ExposeSecret::expose_secret) {
            if !text.contains(key) {
                continue;
            }
            text = Cow::Owned(if key.len() >= LONG_ENOUGH {
                text.replace(key, REDACTED)
            } else {
                replace_words(&text, key)
            });
        }
        for pattern in KEYS.iter() {
            if let Cow::Owned(redacted) = pattern.replace_all(&text, without_key) {
                text = Cow::Owned(redacted);
            }
        }
        text
    }

    /// The same in every string of a JSON value, names included.
    pub fn redact_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.redact(text).into_owned().into(),
            Value::Array(items) => items.iter().map(|item| self.redact_json(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, value)| {
                    // `{"Authorization": "…"}` is told by both together.
                    let value = match value {
                        Value::String(text) => {
                            let line = format!("{name}: {text}");
                            match self.redact(&line) {
                                Cow::Borrowed(_) => value.clone(),
                                Cow::Owned(_) if self.redact(text) == *text => REDACTED.into(),
                                Cow::Owned(_) => self.redact_json(value),
                            }
                        }
                        value => self.redact_json(value),
                    };
                    (self.redact(name).into_owned(), value)
                });
                Value::Object(fields.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

fn without_key(found: &Captures<'_>) -> String {
    let (all, key) = (&found[0], &found["key"]);
    if key == REDACTED {
        return all.to_owned();
    }
    all.replacen(key, REDACTED, 1)
}

fn replace_words(text: &str, key: &str) -> String {
    let is_part = |letter: Option<char>| letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(key) {
        let (before, after) = (&rest[..at], &rest[at + key.len()..]);
        let inside = is_part(before.chars().next_back()) || is_part(after.chars().next());
        replaced.push_str(before);
        replaced.push_str(if inside { key } else { REDACTED });
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_taken_out_and_everything_else_stays() {
        let keys = ["correct-horse-battery", "b"].map(|key| SecretString::from(key.to_owned()));
        let secrets = Secrets::new(keys);
        let google = format!("AIza{}", "x".repeat(35));
        for (text, wanted) in [
            ("say correct-horse-battery twice", "say [redacted] twice"),
            ("a b, but above", "a [redacted], but above"),
            (&format!("key={google}!"), "key=[redacted]!"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
            ("'x-goog-api-key': 'k1', 'z': 1", "'x-goog-api-key': '[redacted]', 'z': 1"),
            ("http://h/v1?key=k1&x=2", "http://h/v1?key=[redacted]&x=2"),
            ("sk-proj-0123456789abcdef0", "[redacted]"),
            ("bearer 0123456789abcdef", "bearer [redacted]"),
            ("the authorization was given", "the authorization was given"),
            ("a bearer bond", "a bearer bond"),
            ("print(f'{key=}')", "print(f'{key=}')"),
        ] {
            assert_eq!(secrets.redact(text), wanted);
            assert_eq!(secrets.redact(wanted), wanted, "once is enough");
        }
        assert!(matches!(secrets.redact("nothing"), Cow::Borrowed(_)));
        let json = json!({"headers": {"Authorization": "zzz", "n": [1, "correct-horse-battery"]}});
        let wanted = json!({"headers": {"Authorization": "[redacted]", "n": [1, "[redacted]"]}});
        assert_eq!(secrets.redact_json(&json), wanted);
    }
}
