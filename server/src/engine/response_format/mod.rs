//! The response format of a request: JSON that matches a schema.

mod checker;
mod compare;
mod simple;

use jsonschema::Validator;
use serde_json::Value;

pub use checker::{ARGUMENT, CheckError, Checker, OwnersChecker, main as check_formats};

use checker::Verdict;
use domain::interaction::GenerationConfig;
use resources::child::ChildError;
use simple::{MAX_ANSWER_BYTES, is_simple};

const LIMIT: &str = "comparing it with the schema takes too much time or memory";
const DOES_NOT_MATCH: &str = "it does not match the schema";

/// Checks answers.
#[derive(Debug)]
pub struct ResponseFormat {
    checker: OwnersChecker,
    /// Absent if any JSON is allowed.
    schema: Option<AnswerSchema>,
}

#[derive(Debug)]
struct AnswerSchema {
    source: Value,
    /// Present if the schema is simple.
    compiled: Option<Validator>,
}

/// Why a request's schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("invalid response schema: {0}")]
    Invalid(String),
    /// The check could not be made.
    #[error("the response schema could not be checked: {0}")]
    Unchecked(CheckError),
}

/// Why an answer is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum AnswerError {
    Mismatch(String),
    /// The check could not be made.
    Unchecked(CheckError),
}

impl ResponseFormat {
    /// The format that a `generation_config` requests, if any.
    pub async fn from_config(
        generation_config: &GenerationConfig,
        checker: OwnersChecker,
    ) -> Result<Option<ResponseFormat>, SchemaError> {
        if !generation_config.requests_json() {
            return Ok(None);
        }
        let schema = match generation_config.response_schema() {
            Some(schema) => Some(AnswerSchema::new(schema, &checker).await?),
            None => None,
        };
        Ok(Some(ResponseFormat { checker, schema }))
    }

    /// The same for a request that was accepted before a restart.
    pub fn accepted(
        generation_config: &GenerationConfig,
        checker: OwnersChecker,
    ) -> Option<ResponseFormat> {
        generation_config.requests_json().then(|| {
            let source = generation_config.response_schema();
            ResponseFormat { checker, schema: source.map(AnswerSchema::accepted) }
        })
    }

    /// The JSON text of an answer, or why it does not match. Models often wrap it in a code block.
    pub async fn check<'a>(&self, answer: &'a str) -> Result<&'a str, AnswerError> {
        let json = unwrapped(answer.trim());
        let anything = Value::Bool(true);
        let (source, compiled) = match &self.schema {
            Some(schema) => (&schema.source, schema.compiled.as_ref()),
            None => (&anything, None),
        };
        if json.len() <= MAX_ANSWER_BYTES && (compiled.is_some() || self.schema.is_none()) {
            let value = compare::parsed(json).map_err(AnswerError::Mismatch)?;
            let difference = compiled.and_then(|schema| compare::difference(schema, &value));
            return difference.map_or(Ok(json), |why| Err(AnswerError::Mismatch(why)));
        }
        let why = match self.checker.check(source, Some(json)).await {
            Ok(Verdict::Valid) => return Ok(json),
            Ok(Verdict::Mismatch(why)) => why.unwrap_or_else(|| DOES_NOT_MATCH.to_owned()),
            Ok(Verdict::InvalidSchema(why)) => why,
            Err(CheckError::Child(ChildError::Limit)) => LIMIT.to_owned(),
            Err(error) => return Err(AnswerError::Unchecked(error)),
        };
        Err(AnswerError::Mismatch(why))
    }
}

impl AnswerSchema {
    /// A schema that was compiled before. One that is not simple is compiled again with each answer.
    fn accepted(source: &Value) -> AnswerSchema {
        let compiled = is_simple(source).then(|| compare::compiled(source).ok()).flatten();
        AnswerSchema { source: source.clone(), compiled }
    }

    async fn new(source: &Value, checker: &OwnersChecker) -> Result<AnswerSchema, SchemaError> {
        if is_simple(source) {
            let compiled = compare::compiled(source).map_err(SchemaError::Invalid)?;
            return Ok(AnswerSchema { source: source.clone(), compiled: Some(compiled) });
        }
        match checker.check(source, None).await {
            Ok(Verdict::Valid) => Ok(AnswerSchema { source: source.clone(), compiled: None }),
            Ok(Verdict::InvalidSchema(why)) => Err(SchemaError::Invalid(why)),
            Ok(Verdict::Mismatch(_)) | Err(CheckError::Child(ChildError::Limit)) => {
                Err(SchemaError::Invalid("compiling it takes too much time or memory".to_owned()))
            }
            Err(error) => Err(SchemaError::Unchecked(error)),
        }
    }
}

/// The prompt that asks the model to correct an answer that does not match.
pub fn correction(why: &str) -> String {
    format!(
        "Your answer does not have the form that the schema requires: {why}. Answer again \
         with only JSON that matches the schema."
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
    use domain::owner::Owner;

    fn mismatch(checked: Result<&str, AnswerError>) -> String {
        match checked {
            Err(AnswerError::Mismatch(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    /// These tests need no child: `tests/api` has those that do.
    fn checker() -> OwnersChecker {
        Checker::default().of(&Owner::default())
    }

    fn config(schema: Value) -> GenerationConfig {
        json!({"response_mime_type": "application/json", "response_json_schema": schema}).into()
    }

    #[tokio::test]
    async fn an_answer_matches_or_the_reason_is_given() {
        let config = config(json!({"type": "object", "properties": {"n": {"type": "integer"}}}));
        let format = ResponseFormat::from_config(&config, checker()).await;
        let format = format.expect("it is a schema").expect("there is one");
        assert_eq!(format.check(" {\"n\": 1}\n").await, Ok("{\"n\": 1}"));
        assert_eq!(format.check("```json\n{\"n\": 1}\n```").await, Ok("{\"n\": 1}"));
        let why = mismatch(format.check("{\"n\": \"one\"}").await);
        assert!(why.starts_with("at /n: "), "{why}");
        let why = mismatch(format.check("Well, 1.").await);
        assert!(why.starts_with("invalid JSON: "), "{why}");
    }

    #[tokio::test]
    async fn a_request_without_a_format_has_none() {
        for config in [json!(null), json!({}), json!({"response_mime_type": "text/plain"})] {
            let config = GenerationConfig::from(config);
            let format = ResponseFormat::from_config(&config, checker()).await;
            assert!(format.expect("there is no schema").is_none(), "{config:?}");
        }
        let error = ResponseFormat::from_config(&config(json!({"type": 7})), checker()).await;
        let error = error.expect_err("7 is no type").to_string();
        assert!(error.starts_with("invalid response schema: 7 is not"), "{error}");
    }

    #[tokio::test]
    async fn a_child_that_does_not_start_is_an_error() {
        let config = config(json!({"anyOf": [{}]}));
        let error = ResponseFormat::from_config(&config, checker()).await.expect_err("no child");
        assert!(
            matches!(error, SchemaError::Unchecked(CheckError::Child(ChildError::NotStarted))),
            "{error:?}"
        );
    }
}
