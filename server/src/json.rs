//! JSON of others, which takes far more memory than its bytes.

use serde::de::Error as _;
use serde_json::Value;

/// Values and names in one text.
pub const MAX_VALUES: usize = 500_000;

/// Parses what has no more values than that. They are counted before anything is made of them.
pub fn parse(json: &[u8]) -> Result<Value, serde_json::Error> {
    if values(json) > MAX_VALUES {
        return Err(serde_json::Error::custom(format!("it has more than {MAX_VALUES} values")));
    }
    serde_json::from_slice(json)
}

/// At least as many as there are values and names in this JSON: each one is followed or opened by a
/// sign of its own, but for the outermost.
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
    fn signs_within_strings_are_no_values() {
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
    fn too_many_values_are_an_error_and_not_made() {
        let error = parse("[".repeat(MAX_VALUES + 1).as_bytes()).expect_err("it is too much");
        assert!(error.to_string().contains("more than 500000 values"), "{error}");
        assert!(parse(format!("[{}0]", "0,".repeat(MAX_VALUES - 2)).as_bytes()).is_ok());
    }
}
