//! Parses untrusted JSON, which can use far more memory than its size.

use serde::de::Error as _;
use serde_json::Value;

/// Maximum number of values and names in one text.
pub const MAX_VALUES: usize = 500_000;

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
