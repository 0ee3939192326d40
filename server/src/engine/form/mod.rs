//! The form that an answer was asked for in: JSON that fits a schema.

mod work;

use std::sync::Arc;
use std::time::Duration;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Schemas that one schema may come to when each reference in it is followed. A few definitions that
/// name each other twice come to more than any machine can look through.
const MAX_SCHEMAS: u64 = 100_000;
/// Comparisons of a part of an answer with a part of the schema.
const MAX_COMPARISONS: u64 = 1_000_000;
/// An answer and a schema of fewer comparisons are compared at once.
const FEW_COMPARISONS: u64 = 1_000;
/// How long the comparison of an answer with its schema may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Of a pattern in a schema that has to try several ways.
const MAX_BACKTRACKS: usize = 10_000;
/// Of each pattern in a schema, compiled.
const MAX_PATTERN_BYTES: usize = 256 << 10;

/// What an answer is checked against.
#[derive(Debug)]
pub struct Form {
    /// Absent where any JSON will do.
    schema: Option<Arc<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    source: Value,
    validator: Validator,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotASchema(String);

impl Form {
    /// The form that the client's `generation_config` asks for, if it asks for one.
    pub async fn of(generation_config: &Value) -> Result<Option<Form>, NotASchema> {
        let Some(mime_type) = generation_config.get("response_mime_type") else {
            return Ok(None);
        };
        if mime_type != "application/json" {
            return Ok(None);
        }
        let Some(schema) = generation_config.get("response_json_schema").cloned() else {
            return Ok(Some(Form { schema: None }));
        };
        let compiled = tokio::task::spawn_blocking(move || compile(schema)).await;
        let compiled = compiled.map_err(|_| NotASchema("it cannot be compiled".to_owned()))??;
        Ok(Some(Form { schema: Some(Arc::new(compiled)) }))
    }

    /// The JSON text of an answer, or what is wrong with it. Models like to wrap it in a block.
    pub async fn check<'a>(&self, answer: &'a str) -> Result<&'a str, String> {
        let json = unwrapped(answer.trim());
        let value: Value = crate::json::parse(json.as_bytes())
            .map_err(|error| format!("it is no JSON: {error}"))?;
        let Some(schema) = &self.schema else { return Ok(json) };
        match work::of_answer(&schema.source, &value, MAX_COMPARISONS) {
            None => return Err("comparing it with the schema takes too long".to_owned()),
            Some(..=FEW_COMPARISONS) => compare(&schema.validator, &value)?,
            Some(_) => {
                let schema = Arc::clone(schema);
                let compared =
                    tokio::task::spawn_blocking(move || compare(&schema.validator, &value));
                match tokio::time::timeout(WITHIN, compared).await {
                    Ok(Ok(compared)) => compared?,
                    Ok(Err(_)) | Err(_) => {
                        return Err("comparing it with the schema takes too long".to_owned());
                    }
                }
            }
        }
        Ok(json)
    }
}

fn compile(schema: Value) -> Result<Compiled, NotASchema> {
    if work::of_schema(&schema) > MAX_SCHEMAS {
        return Err(NotASchema(format!(
            "it comes to more than {MAX_SCHEMAS} schemas when its references are followed"
        )));
    }
    let patterns = PatternOptions::fancy_regex()
        .backtrack_limit(MAX_BACKTRACKS)
        .size_limit(MAX_PATTERN_BYTES)
        .dfa_size_limit(MAX_PATTERN_BYTES);
    let validator = jsonschema::options().with_pattern_options(patterns).build(&schema);
    let validator = validator.map_err(|error| NotASchema(error.to_string()))?;
    Ok(Compiled { source: schema, validator })
}

fn compare(validator: &Validator, value: &Value) -> Result<(), String> {
    let Some(error) = validator.iter_errors(value).next() else { return Ok(()) };
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { "the whole".to_owned() } else { place };
    Err(format!("at {place}: {error}"))
}

/// What the model is told about an answer that does not fit.
pub fn complaint(why: &str) -> String {
    format!(
        "Your answer does not have the form that was asked for: {why}. Answer once more, with \
         nothing but JSON that fits the schema."
    )
}

fn unwrapped(text: &str) -> &str {
    let block = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    let inside = block.map(|block| block.strip_prefix("json").unwrap_or(block));
    inside.map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn form(schema: Value) -> Form {
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": schema});
        Form::of(&config).await.expect("it is a schema").expect("there is one")
    }

    #[tokio::test]
    async fn an_answer_fits_or_is_told_why_not() {
        let form = form(json!({"type": "object", "properties": {"n": {"type": "integer"}}})).await;
        assert_eq!(form.check(" {\"n\": 1}\n").await, Ok("{\"n\": 1}"));
        assert_eq!(form.check("```json\n{\"n\": 1}\n```").await, Ok("{\"n\": 1}"));
        let why = form.check("{\"n\": \"one\"}").await.expect_err("it is a string");
        assert!(why.starts_with("at /n: "), "{why}");
        let why = form.check("Well, 1.").await.expect_err("it is prose");
        assert!(why.starts_with("it is no JSON: "), "{why}");
    }

    #[tokio::test]
    async fn what_asks_for_no_form_has_none() {
        for config in [json!(null), json!({}), json!({"response_mime_type": "text/plain"})] {
            assert!(Form::of(&config).await.expect("there is no schema").is_none(), "{config}");
        }
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": {"type": 7}});
        assert!(Form::of(&config).await.is_err());
    }

    #[tokio::test]
    async fn what_comes_to_too_many_schemas_is_none() {
        let twice = |number: usize| {
            let next = json!({"$ref": format!("#/$defs/d{}", number + 1)});
            (format!("d{number}"), json!({"allOf": [next, next]}))
        };
        let mut definitions: serde_json::Map<_, _> = (0..44).map(twice).collect();
        definitions.insert("d44".into(), json!({"type": "object"}));
        let schema = json!({"$defs": definitions, "$ref": "#/$defs/d0"});
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": schema});
        let error = Form::of(&config).await.expect_err("it is too much").to_string();
        assert!(error.contains("more than 100000 schemas"), "{error}");
    }

    /// Each level of the answer doubles what there is to compare.
    #[tokio::test]
    async fn an_answer_that_takes_too_many_comparisons_does_not_fit() {
        let list = json!({"items": {"$ref": "#"}});
        let form = form(json!({"allOf": [list, list]})).await;
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(form.check(&nested(5)).await, Ok(nested(5).as_str()));
        assert_eq!(form.check(&nested(12)).await, Ok(nested(12).as_str()));
        let why = form.check(&nested(100)).await.expect_err("it takes too long");
        assert_eq!(why, "comparing it with the schema takes too long");
    }

    #[tokio::test]
    async fn patterns_that_try_every_way_come_to_an_end() {
        let form = form(json!({"pattern": "^(a|aa)+(?=b)$"})).await;
        let answer = format!("\"{}\"", "a".repeat(200));
        assert!(form.check(&answer).await.is_err());
        let config = json!({"response_mime_type": "application/json",
                            "response_json_schema": {"pattern": "(\\w{200}){200}"}});
        assert!(Form::of(&config).await.is_err(), "it is too large");
    }
}
