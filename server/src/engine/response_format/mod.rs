//! The response format of a request: JSON that matches a schema.

mod complexity;
mod cost;
mod patterns;
mod references;
mod work;

use std::sync::Arc;
use std::time::Duration;

use jsonschema::Validator;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use patterns::Patterns;

/// Maximum number of schemas after each reference is expanded. A few definitions that refer to each
/// other twice expand to more than any machine can process.
const MAX_SCHEMAS: u64 = 100_000;
/// Maximum size of the JSON pointers to all keywords of a schema.
const MAX_LOCATION_BYTES: u64 = 16 << 20;
/// Maximum number of comparisons of a part of an answer with a part of the schema.
const MAX_COMPARISONS: u64 = 1_000_000;
/// Fewer comparisons are made on the calling thread.
const FEW_COMPARISONS: u64 = 1_000;
/// How long the comparison of an answer with its schema may take.
const WITHIN: Duration = Duration::from_secs(10);
/// A schema within these limits stays compiled. A larger schema is compiled for each answer, so that
/// it takes no memory while the model generates.
const FEW_SCHEMAS: u64 = 200;
const FEW_LOCATION_BYTES: u64 = 32 << 10;
const FEW_PATTERN_BYTES: usize = 32 << 10;
/// Fewer bytes are parsed on the calling thread.
const SMALL_BYTES: usize = 16 << 10;
/// Memory of the errors of one answer. If more is possible, the answer's error has no details.
const MAX_ERROR_BYTES: u64 = 16 << 20;
/// Maximum length of an error that quotes a schema or an answer.
const MAX_ERROR_LETTERS: usize = 1000;

/// Limits how many schemas are compiled or compared at the same time. Work counts until it ends, even
/// if its client has disconnected.
static AT_A_TIME: Semaphore = Semaphore::const_new(2);
/// For small schemas, which do not wait for large ones.
static SMALL_AT_A_TIME: Semaphore = Semaphore::const_new(2);
/// For schemas with backtracking patterns, so that no other schema waits for them.
static BACKTRACKING_AT_A_TIME: Semaphore = Semaphore::const_new(1);

const TOO_LONG: &str = "comparing it with the schema takes too long";
const DOES_NOT_MATCH: &str = "it does not match the schema";

/// Checks answers.
#[derive(Debug)]
pub struct ResponseFormat {
    /// Absent if any JSON is allowed.
    schema: Option<Arc<Schema>>,
}

#[derive(Debug)]
struct Schema {
    source: Value,
    /// Bytes of the paths to all its keywords.
    location_bytes: u64,
    patterns: Patterns,
    /// Absent if the schema is large.
    compiled: Option<Validator>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchema(String);

impl ResponseFormat {
    /// The format that a `generation_config` requests, if any.
    pub async fn from_config(
        generation_config: &Value,
    ) -> Result<Option<ResponseFormat>, InvalidSchema> {
        let Some(mime_type) = generation_config.get("response_mime_type") else {
            return Ok(None);
        };
        if mime_type != "application/json" {
            return Ok(None);
        }
        let Some(schema) = generation_config.get("response_json_schema").cloned() else {
            return Ok(Some(ResponseFormat { schema: None }));
        };
        let gate = if is_short(&schema) { &SMALL_AT_A_TIME } else { &AT_A_TIME };
        let cannot = || InvalidSchema("it cannot be compiled".to_owned());
        let compiled = run_blocking(gate, move || Schema::new(schema)).await.ok_or_else(cannot)?;
        let schema = compiled.await.map_err(|_| cannot())??;
        Ok(Some(ResponseFormat { schema: Some(Arc::new(schema)) }))
    }

    /// The JSON text of an answer, or why it does not match. Models often wrap it in a code block.
    pub async fn check<'a>(&self, answer: &'a str) -> Result<&'a str, String> {
        let json = unwrapped(answer.trim());
        if json.len() <= SMALL_BYTES
            && let Some(checked) = self.check_at_once(json)
        {
            return checked.map(|()| json);
        }
        let (schema, text) = (self.schema.clone(), json.to_owned());
        let backtrack = schema.as_ref().is_some_and(|schema| schema.patterns.backtrack);
        let gate = if backtrack { &BACKTRACKING_AT_A_TIME } else { &AT_A_TIME };
        let checked = run_blocking(gate, move || {
            let value = parsed(&text)?;
            schema.map_or(Ok(()), |schema| schema.check(&value))
        });
        let checked = checked.await.ok_or(TOO_LONG)?;
        match tokio::time::timeout(WITHIN, checked).await {
            Ok(Ok(checked)) => checked.map(|()| json),
            Ok(Err(_)) | Err(_) => Err(TOO_LONG.to_owned()),
        }
    }

    /// None if the check may take long.
    fn check_at_once(&self, json: &str) -> Option<Result<(), String>> {
        let value = match parsed(json) {
            Ok(value) => value,
            Err(why) => return Some(Err(why)),
        };
        let Some(schema) = &self.schema else { return Some(Ok(())) };
        let validator = schema.compiled.as_ref()?;
        let work =
            work::validation_work(&schema.source, &schema.patterns, &value, FEW_COMPARISONS)?;
        Some(schema.compare(validator, &value, &work))
    }
}

impl Schema {
    fn new(source: Value) -> Result<Schema, InvalidSchema> {
        let schemas = complexity::expanded_schemas(&source);
        if schemas > MAX_SCHEMAS {
            return Err(InvalidSchema(format!("it expands to more than {MAX_SCHEMAS} schemas")));
        }
        let location_bytes = references::location_bytes(&source);
        if location_bytes > MAX_LOCATION_BYTES {
            return Err(InvalidSchema(format!(
                "the paths to its keywords have more than {MAX_LOCATION_BYTES} bytes together: its \
                 names are too long or too deep"
            )));
        }
        let patterns = Patterns::new(&source)?;
        let compiled = patterns.build(&source)?;
        let is_small = schemas <= FEW_SCHEMAS
            && location_bytes <= FEW_LOCATION_BYTES
            && patterns.bytes() <= FEW_PATTERN_BYTES
            && !patterns.backtrack;
        Ok(Schema { compiled: is_small.then_some(compiled), source, location_bytes, patterns })
    }

    fn check(&self, value: &Value) -> Result<(), String> {
        let work = work::validation_work(&self.source, &self.patterns, value, MAX_COMPARISONS)
            .ok_or_else(|| TOO_LONG.to_owned())?;
        match &self.compiled {
            Some(compiled) => self.compare(compiled, value, &work),
            None => {
                let compiled = self.patterns.build(&self.source);
                self.compare(&compiled.map_err(|error| error.to_string())?, value, &work)
            }
        }
    }

    fn compare(
        &self,
        validator: &Validator,
        value: &Value,
        work: &work::Work,
    ) -> Result<(), String> {
        if work.error_bytes(value, self.location_bytes) <= MAX_ERROR_BYTES {
            return compare(validator, value);
        }
        match validator.is_valid(value) {
            true => Ok(()),
            false => Err(DOES_NOT_MATCH.to_owned()),
        }
    }
}

/// Runs work on a blocking thread as soon as the gate allows. The work holds its permit until it
/// ends, even if the caller stops waiting.
async fn run_blocking<T: Send + 'static>(
    gate: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<JoinHandle<T>> {
    let permit = gate.acquire().await.ok()?;
    Some(tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    }))
}

/// Whether a schema is small enough to compile quickly.
fn is_short(schema: &Value) -> bool {
    let mut left = SMALL_BYTES;
    takes_no_more(schema, &mut left)
}

/// Visits no more values than `left` allows.
fn takes_no_more(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len(),
        Value::Object(fields) => fields.keys().map(|name| 1 + name.len()).sum(),
        _ => 1,
    };
    let Some(less) = left.checked_sub(own) else { return false };
    *left = less;
    match value {
        Value::Array(items) => items.iter().all(|item| takes_no_more(item, left)),
        Value::Object(fields) => fields.values().all(|field| takes_no_more(field, left)),
        _ => true,
    }
}

fn parsed(json: &str) -> Result<Value, String> {
    crate::parse::json::parse(json.as_bytes()).map_err(|error| format!("invalid JSON: {error}"))
}

fn compare(validator: &Validator, value: &Value) -> Result<(), String> {
    let Err(error) = validator.validate(value) else { return Ok(()) };
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { "the root".to_owned() } else { place };
    Err(shortened(&format!("at {place}: {error}")))
}

fn shortened(error: &str) -> String {
    match error.char_indices().nth(MAX_ERROR_LETTERS) {
        Some((end, _)) => format!("{}…", &error[..end]),
        None => error.to_owned(),
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

    async fn format(schema: Value) -> ResponseFormat {
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": schema});
        ResponseFormat::from_config(&config).await.expect("it is a schema").expect("there is one")
    }

    #[tokio::test]
    async fn an_answer_matches_or_the_reason_is_given() {
        let format =
            format(json!({"type": "object", "properties": {"n": {"type": "integer"}}})).await;
        assert_eq!(format.check(" {\"n\": 1}\n").await, Ok("{\"n\": 1}"));
        assert_eq!(format.check("```json\n{\"n\": 1}\n```").await, Ok("{\"n\": 1}"));
        let why = format.check("{\"n\": \"one\"}").await.expect_err("it is a string");
        assert!(why.starts_with("at /n: "), "{why}");
        let why = format.check("Well, 1.").await.expect_err("it is prose");
        assert!(why.starts_with("invalid JSON: "), "{why}");
    }

    #[tokio::test]
    async fn a_request_without_a_format_has_none() {
        for config in [json!(null), json!({}), json!({"response_mime_type": "text/plain"})] {
            assert!(
                ResponseFormat::from_config(&config).await.expect("there is no schema").is_none(),
                "{config}"
            );
        }
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": {"type": 7}});
        assert!(ResponseFormat::from_config(&config).await.is_err());
    }

    #[tokio::test]
    async fn a_schema_that_expands_to_too_many_schemas_is_rejected() {
        let twice = |number: usize| {
            let next = json!({"$ref": format!("#/$defs/d{}", number + 1)});
            (format!("d{number}"), json!({"allOf": [next, next]}))
        };
        let mut definitions: serde_json::Map<_, _> = (0..44).map(twice).collect();
        definitions.insert("d44".into(), json!({"type": "object"}));
        let schema = json!({"$defs": definitions, "$ref": "#/$defs/d0"});
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": schema});
        let error =
            ResponseFormat::from_config(&config).await.expect_err("it is too much").to_string();
        assert!(error.contains("more than 100000 schemas"), "{error}");
    }

    /// Each level of the answer doubles the number of comparisons.
    #[tokio::test]
    async fn an_answer_that_takes_too_many_comparisons_does_not_match() {
        let list = json!({"items": {"$ref": "#"}});
        let format = format(json!({"allOf": [list, list]})).await;
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(format.check(&nested(5)).await, Ok(nested(5).as_str()));
        assert_eq!(format.check(&nested(12)).await, Ok(nested(12).as_str()));
        let why = format.check(&nested(100)).await.expect_err("it takes too long");
        assert_eq!(why, "comparing it with the schema takes too long");
    }

    #[tokio::test]
    async fn matching_with_backtracking_patterns_ends() {
        let format = format(json!({"pattern": "^(a|aa)+(?=b)$"})).await;
        let answer = format!("\"{}\"", "a".repeat(200));
        assert!(format.check(&answer).await.is_err());
        let config = json!({"response_mime_type": "application/json",
                            "response_json_schema": {"pattern": "(\\w{200}){200}"}});
        assert!(ResponseFormat::from_config(&config).await.is_err(), "it is too large");
    }

    async fn rejection(schema: Value) -> String {
        let config =
            json!({"response_mime_type": "application/json", "response_json_schema": schema});
        ResponseFormat::from_config(&config).await.expect_err("it is too much").to_string()
    }

    #[tokio::test]
    async fn thousands_of_patterns_are_rejected_before_they_are_compiled() {
        let field = |number: usize| {
            (format!("p{number}"), json!({"pattern": format!("^\\p{{L}}{{4}}|x{number}")}))
        };
        let fields: serde_json::Map<_, _> = (0..3500).map(field).collect();
        let error = rejection(json!({"properties": fields})).await;
        assert_eq!(error, "it has more than 100 patterns");
    }

    /// The compiled schema repeats the name for each keyword below it: a gigabyte here.
    #[tokio::test]
    async fn a_long_name_above_many_schemas_is_rejected() {
        let fields: serde_json::Map<_, _> =
            (0..3000).map(|number| (number.to_string(), json!({"type": "string"}))).collect();
        let error = rejection(json!({"properties": {"a".repeat(100_000): {"properties": fields}}}));
        assert!(error.await.contains("more than 16777216 bytes together"));
        assert!(!rejection(json!({"type": "a".repeat(100_000)})).await.is_empty());
    }

    #[tokio::test]
    async fn a_large_schema_is_compiled_for_each_answer() {
        let field = |number: usize| (format!("p{number}"), json!({"type": "string"}));
        let fields: serde_json::Map<_, _> = (0..1000).map(field).collect();
        for (schema, stays) in [
            (json!({"properties": {"p1": {"type": "string"}}}), true),
            (json!({"properties": fields}), false),
            (json!({"properties": {"p1": {"pattern": "^\\p{L}{4}"}}}), false),
            (json!({"properties": {"p1": {"pattern": "^(?!x)y"}}}), false),
        ] {
            let format = format(schema).await;
            let schema = format.schema.as_ref().expect("it has a schema");
            assert_eq!(schema.compiled.is_some(), stays, "{:.100}", schema.source);
            for _ in 0..2 {
                assert!(format.check("{\"p2\": 1}").await.is_ok() || !stays);
                assert!(format.check("{\"p1\": \"yyyy\"}").await.is_ok());
                let why = format.check("{\"p1\": \"y!\"}").await.is_err();
                assert_eq!(why, schema.patterns.bytes() > 100_000);
            }
        }
    }

    #[tokio::test]
    async fn an_error_quotes_only_the_beginning_of_an_answer() {
        let format = format(json!({"type": "integer"})).await;
        let answer = json!(["a".repeat(100_000)]).to_string();
        let why = format.check(&answer).await.expect_err("it is no number");
        assert_eq!(why.chars().count(), MAX_ERROR_LETTERS + 1);
    }

    #[tokio::test]
    async fn large_values_and_long_texts_take_more_comparisons() {
        let numbers: Vec<usize> = (0..20_000).collect();
        let names: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let fields: serde_json::Map<_, _> =
            names.iter().map(|name| (name.clone(), json!(true))).collect();
        let rows = |row: Value| Value::Array(vec![row; 2000]);
        for (schema, answer) in [
            (json!({"items": {"enum": numbers}}), rows(json!(19_999))),
            (json!({"items": {"const": numbers}}), rows(json!(numbers))),
            (json!({"items": {"required": names}}), rows(json!({}))),
            (json!({"items": {"properties": fields}}), rows(json!({}))),
            (json!({"items": {"dependentRequired": {"a": names}}}), rows(json!({}))),
            (json!({"items": {"uniqueItems": true}}), rows(json!(vec![vec![0; 2000]; 2]))),
            (json!({"pattern": "^\\p{L}{4}"}), json!("a".repeat(1 << 20))),
            (json!({"items": {"pattern": "^(?!x)y"}}), json!(vec!["y"; 30_000])),
            (json!({"format": "regex"}), json!("a".repeat(100_000))),
            (json!({"propertyNames": {"pattern": "^\\p{L}{4}"}}), json!({"a".repeat(1 << 20): 1})),
            (json!({"patternProperties": {"^\\p{L}{4}": true}}), json!({"a".repeat(1 << 20): 1})),
        ] {
            let patterns = Patterns::new(&schema).expect("they are patterns");
            let work = work::validation_work(&schema, &patterns, &answer, MAX_COMPARISONS);
            assert_eq!(work, None, "{schema:.100}");
        }
        let strings = json!({"items": {"enum": names}});
        let patterns = Patterns::default();
        let work =
            work::validation_work(&strings, &patterns, &rows(json!("19999")), MAX_COMPARISONS);
        assert!(
            work.is_some_and(|work| work.comparisons < 10_000),
            "texts are found by hash: {work:?}"
        );
    }

    /// A disconnect or a timeout ends the wait, but not the work.
    #[tokio::test]
    async fn abandoned_work_holds_its_permit_until_it_ends() {
        static GATE: Semaphore = Semaphore::const_new(1);
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let work = run_blocking(&GATE, move || {
            begun.send(()).expect("the test waits for it");
            ends.recv().expect("the test ends it");
        });
        let client = tokio::spawn(async { work.await.expect("there is a place").await });
        begins.await.expect("it begins");
        client.abort();
        assert!(client.await.is_err());
        assert!(GATE.try_acquire().is_err(), "the work still runs");
        end.send(()).expect("it waits for that");
        let next = run_blocking(&GATE, || 1).await.expect("there is a place");
        assert_eq!(next.await.expect("it ends"), 1);
    }
}
