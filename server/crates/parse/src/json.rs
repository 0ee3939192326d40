//! Parses untrusted JSON, which can use far more memory than its size.

use serde::de::Error as _;
use serde_json::Value;

/// Values of a piece of a stream, such as `{"type": "text", "text": "…"}`, with room for more.
const PIECE_VALUES: usize = 16;

/// Maximum number of values and names in one text.
pub const MAX_VALUES: usize = 500_000;

/// Size of a parsed value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonSize {
    /// Number of values and names.
    pub values: usize,
    /// Bytes of all strings and names.
    pub text_bytes: usize,
}

impl JsonSize {
    /// Number of values beyond those of a piece of a stream, whose number has a limit of its own.
    pub fn excess(self) -> usize {
        self.values.saturating_sub(PIECE_VALUES)
    }

    /// Bytes of the value in memory.
    pub fn memory_bytes(self) -> usize {
        self.text_bytes + self.values * size_of::<Value>()
    }

    pub fn of(json: &Value) -> JsonSize {
        let mut size = JsonSize::default();
        let mut open = vec![json];
        while let Some(value) = open.pop() {
            size.values += 1;
            match value {
                Value::String(text) => size.text_bytes += text.len(),
                Value::Array(values) => open.extend(values),
                Value::Object(fields) => {
                    size.values += fields.len();
                    size.text_bytes += fields.keys().map(String::len).sum::<usize>();
                    open.extend(fields.values());
                }
                _ => {}
            }
        }
        size
    }
}

/// Parses JSON with at most [`MAX_VALUES`] values. They are counted before anything is allocated.
pub fn parse(json: &[u8]) -> Result<Value, serde_json::Error> {
    if values(json) > MAX_VALUES {
        return Err(serde_json::Error::custom(format!("more than {MAX_VALUES} values")));
    }
    serde_json::from_slice(json)
}

/// An upper bound of the number of values and names: each, except the outermost value, has a separator
/// of its own before or after it.
pub fn values(json: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b':' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_counts_names_and_values() {
        for (json, values, text_bytes) in [
            (serde_json::json!(null), 1, 0),
            (serde_json::json!("abc"), 1, 3),
            (serde_json::json!({"a": ["b", 1], "cd": {}}), 7, 4),
        ] {
            assert_eq!(JsonSize::of(&json), JsonSize { values, text_bytes }, "{json}");
        }
    }

    #[test]
    fn separators_within_strings_are_not_counted() {
        for (json, wanted) in [
            (r#""a""#, 0),
            (r#"[0,0,0]"#, 3),
            (r#"{"a": {"b": 1}}"#, 4),
            (r#"["[,:{", "\",[", "\\"]"#, 3),
        ] {
            assert_eq!(values(json.as_bytes()), wanted, "{json}");
        }
    }

    #[test]
    fn too_many_values_are_rejected_before_parsing() {
        let error =
            parse("[".repeat(MAX_VALUES + 1).as_bytes()).expect_err("it has too many values");
        assert!(error.to_string().contains("more than 500000 values"), "{error}");
        assert!(parse(format!("[{}0]", "0,".repeat(MAX_VALUES - 2)).as_bytes()).is_ok());
    }
}
