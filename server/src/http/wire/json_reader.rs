//! A JSON value of a request that knows its path, for error messages.

use serde_json::{Map, Value};

/// The page that lists what this server does not have.
pub const COMPATIBILITY_PAGE: &str = "docs/src/reference/compatibility.md";

/// Why a request is invalid. The text is for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("Unknown parameter '{0}'.")]
    Unknown(String),
    #[error("Missing required parameter '{0}'.")]
    Missing(String),
    #[error("Invalid type for '{path}': expected {wanted}, got {got}.")]
    Type { path: String, wanted: &'static str, got: &'static str },
    #[error("Invalid value for '{path}': {why}.")]
    Value { path: String, why: String },
    /// Not about a single place in the request.
    #[error("{0}")]
    Whole(String),
    /// A part of Google's API that this server does not have.
    #[error("{0} See {COMPATIBILITY_PAGE}.")]
    Absent(String),
}

/// A value and its path, such as `input[0].content`.
#[derive(Debug, Clone)]
pub struct Node {
    path: String,
    value: Value,
}

/// An object whose fields are taken one by one, so that unknown fields remain.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    path: String,
    left: Map<String, Value>,
}

impl Node {
    pub fn root(value: Value) -> Node {
        Node { path: String::new(), value }
    }

    /// Another value at the same place, such as a part of this one.
    pub fn with(&self, value: Value) -> Node {
        Node { path: self.path.clone(), value }
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    pub fn into_value(self) -> Value {
        self.value
    }

    pub fn object(self) -> Result<ObjectReader, WireError> {
        match self.value {
            Value::Object(left) => Ok(ObjectReader { path: self.path, left }),
            _ => Err(self.not("an object")),
        }
    }

    pub fn list(self) -> Result<Vec<Node>, WireError> {
        match self.value {
            Value::Array(values) => {
                let path = &self.path;
                let nodes = values.into_iter().enumerate();
                Ok(nodes.map(|(at, value)| Node { path: format!("{path}[{at}]"), value }).collect())
            }
            _ => Err(self.not("a list")),
        }
    }

    pub fn string(self) -> Result<String, WireError> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => Err(self.not("a string")),
        }
    }

    pub fn boolean(self) -> Result<bool, WireError> {
        self.value.as_bool().ok_or_else(|| self.not("a boolean"))
    }

    pub fn integer(&self) -> Result<i64, WireError> {
        self.value.as_i64().ok_or_else(|| self.not("an integer"))
    }

    pub fn number(&self) -> Result<f64, WireError> {
        self.value.as_f64().ok_or_else(|| self.not("a number"))
    }

    /// A string out of a list.
    pub fn one_of(self, words: &[&str]) -> Result<String, WireError> {
        let path = self.path.clone();
        let word = self.string()?;
        if words.contains(&word.as_str()) {
            return Ok(word);
        }
        let why = format!("'{word}' is not one of {}", words.join(", "));
        Err(WireError::Value { path, why })
    }

    /// The value has the right type but is invalid.
    pub fn wrong(&self, why: impl Into<String>) -> WireError {
        WireError::Value { path: self.path.clone(), why: why.into() }
    }

    pub fn not(&self, wanted: &'static str) -> WireError {
        let got = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        if self.path.is_empty() {
            let why = format!("The request body must be {wanted}, got {got}.");
            return WireError::Whole(why);
        }
        WireError::Type { path: self.path.clone(), wanted, got }
    }
}

impl ObjectReader {
    /// The field, unless it is absent or `null`, which clients send for "not set".
    pub fn take(&mut self, name: &str) -> Option<Node> {
        self.note(name);
        let value = self.left.remove(name).filter(|value| !value.is_null())?;
        Some(Node { path: self.path_of(name), value })
    }

    pub fn require(&mut self, name: &str) -> Result<Node, WireError> {
        self.take(name).ok_or_else(|| WireError::Missing(self.path_of(name)))
    }

    /// Converts the names to `camelCase`: protobuf's JSON has two spellings of each name, and
    /// clients mix them.
    pub fn camel(self) -> Result<ObjectReader, WireError> {
        let mut fields = ObjectReader { path: self.path, left: Map::new() };
        for (name, value) in self.left {
            let name = camel(name);
            if value.is_null() {
                continue;
            }
            if fields.left.insert(name.clone(), value).is_some() {
                return Err(fields.wrong(format!("has '{name}' twice")));
            }
        }
        Ok(fields)
    }

    pub fn string(&mut self, name: &str) -> Result<Option<String>, WireError> {
        self.take(name).map(Node::string).transpose()
    }

    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, WireError> {
        self.take(name).map(Node::boolean).transpose()
    }

    pub fn object(&mut self, name: &str) -> Result<Option<Value>, WireError> {
        match self.take(name) {
            Some(node) if node.value.is_object() => Ok(Some(node.into_value())),
            Some(node) => Err(node.not("an object")),
            None => Ok(None),
        }
    }

    /// `type`, if it is a string.
    pub fn kind(&self) -> Option<&str> {
        self.note("type");
        self.left.get("type").and_then(Value::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.note(name);
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the field is there and neither an empty list nor an empty object.
    pub fn has_content(&self, name: &str) -> bool {
        match self.left.get(name) {
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
            _ => self.has(name),
        }
    }

    /// The object with its remaining fields.
    pub fn into_value(self) -> Value {
        Value::Object(self.left)
    }

    /// Fails if a field remains.
    pub fn done(self) -> Result<(), WireError> {
        match self.left.iter().find(|(_, value)| !value.is_null()) {
            Some((name, _)) => Err(WireError::Unknown(self.path_of(name))),
            None => Ok(()),
        }
    }

    pub fn wrong(&self, why: impl Into<String>) -> WireError {
        WireError::Value { path: self.path.clone(), why: why.into() }
    }

    /// Records the name, for the test that compares the API's document with the parsers.
    #[cfg(test)]
    fn note(&self, name: &str) {
        ASKED.with_borrow_mut(|asked| asked.insert(self.path_of(name)));
    }

    #[cfg(not(test))]
    fn note(&self, _: &str) {}

    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

#[cfg(test)]
thread_local! {
    /// Every field name that this thread has taken, present or not.
    pub static ASKED: std::cell::RefCell<std::collections::BTreeSet<String>> = const {
        std::cell::RefCell::new(std::collections::BTreeSet::new())
    };
}

/// Converts `file_data` to `fileData`; leaves `fileData` unchanged.
pub fn camel(name: String) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    if first.is_empty() {
        return name;
    }
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_in_both_spellings_is_rejected() {
        let read = |json| Node::root(json).object().expect("it is one").camel();
        let fields = read(json!({"file_uri": 1, "mimeType": 2, "a_b_c": 3, "_x": 4, "no": null}));
        let left = fields.expect("each is there once").into_value();
        assert_eq!(left, json!({"fileUri": 1, "mimeType": 2, "aBC": 3, "_x": 4}));
        let error = read(json!({"file_uri": 1, "fileUri": 2})).expect_err("it is there twice");
        assert!(error.to_string().contains("'fileUri' twice"), "{error}");
        read(json!({"file_uri": 1, "fileUri": null})).expect("null is not there");
    }
}
