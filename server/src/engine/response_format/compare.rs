//! Compares an answer with a schema.

use jsonschema::Validator;
use serde_json::Value;

/// Maximum length of an error that quotes a schema or an answer.
const MAX_ERROR_LETTERS: usize = 1000;

pub fn compiled(schema: &Value) -> Result<Validator, String> {
    jsonschema::options().build(schema).map_err(|error| shortened(&error.to_string()))
}

/// The value of an answer's JSON.
pub fn parsed(json: &str) -> Result<Value, String> {
    parse::json::parse(json.as_bytes()).map_err(|error| format!("invalid JSON: {error}"))
}

/// The first difference, or `None`.
pub fn difference(validator: &Validator, value: &Value) -> Option<String> {
    let error = validator.validate(value).err()?;
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { "the root".to_owned() } else { place };
    Some(shortened(&format!("at {place}: {error}")))
}

fn shortened(error: &str) -> String {
    match error.char_indices().nth(MAX_ERROR_LETTERS) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_quotes_only_the_beginning_of_an_answer() {
        let validator = compiled(&json!({"type": "integer"})).expect("it is a schema");
        let why = difference(&validator, &json!(["a".repeat(100_000)])).expect("it is no number");
        assert!(why.starts_with("at the root: "), "{why:.100}");
        assert_eq!(why.chars().count(), MAX_ERROR_LETTERS + 1);
    }
}
