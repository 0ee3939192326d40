//! Removes secrets from files that people share.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

mod patterns;

/// Replacement for a secret.
pub const REDACTED: &str = "[redacted]";
/// A shorter secret may be an ordinary word, and is only replaced as a whole word.
const LONG_ENOUGH: usize = 8;
/// Minimum length of a secret that was found after its name and is then replaced everywhere.
const LONG_ENOUGH_TO_LEARN: usize = 12;

/// The keys that this server knows, in addition to the patterns of keys.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Arc<[SecretString]>);

impl Secrets {
    pub fn new(keys: impl IntoIterator<Item = SecretString>) -> Secrets {
        let mut all: Vec<String> = Vec::new();
        for key in keys {
            let key = key.expose_secret();
            // In a URL the key may be percent-encoded.
            all.push(percent_encoded(key));
            all.push(key.to_owned());
        }
        all.retain(|key| !key.is_empty());
        // Longest first, because one key may be part of another.
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Secrets(all.into_iter().map(SecretString::from).collect())
    }

    /// Adds the keys of a client. Keys that are ordinary words are not replaced: where no keys are
    /// required, clients send `anything`.
    pub fn with_keys_of_client(&self, keys: &[SecretString]) -> Secrets {
        let keys = keys.iter().filter(|key| patterns::is_distinctive(key.expose_secret()));
        Secrets::new(self.0.iter().chain(keys).cloned())
    }

    /// Adds the secrets that are found in these texts, because a secret that is set by name in one
    /// text may be printed alone in another.
    pub fn learned_from<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Secrets {
        let mut keys: Vec<SecretString> = self.0.to_vec();
        for text in texts {
            patterns::without_secrets(text, |key| {
                if key.len() >= LONG_ENOUGH_TO_LEARN && patterns::is_distinctive(key) {
                    keys.push(key.to_owned().into());
                }
            });
        }
        Secrets::new(keys)
    }

    /// The text without secrets; borrowed if it has none.
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
        match patterns::without_secrets(&text, |_| {}) {
            Some(redacted) => Cow::Owned(redacted),
            None => text,
        }
    }

    /// The same for every string of a JSON value, including names.
    pub fn redact_json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.redact(text).into_owned().into(),
            Value::Array(items) => items.iter().map(|item| self.redact_json(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, value)| {
                    // `{"Authorization": "…"}` is only recognized by name and value together.
                    let value = match value {
                        Value::String(text) => {
                            let line = format!("\"{name}\": \"{text}\"");
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

    /// The content of a file, if it is text.
    pub fn redact_file(&self, content: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(content).ok()?;
        match self.redact(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.into_bytes()),
        }
    }
}

/// The key as it appears in a URL query.
fn percent_encoded(key: &str) -> String {
    let mut encoded = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
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
mod tests;
