//! Protobuf's JSON: the accepted forms of fields.
//!
//! A number may be a string, an integer may be written `1e2` or `100.0`, and an enum value is a
//! name or a number. Google's clients of the gapic family send numbers for all enums, and send back
//! the values that they received.

use serde_json::{Number, Value};

use crate::http::wire::WireError;
use crate::http::wire::json_reader::Node;

/// The names and numbers of an enum, as in the service's `.proto` files. The first is the
/// unspecified value.
#[derive(Debug, Clone, Copy)]
pub struct Enum(&'static [(&'static str, i32)]);

pub const LANGUAGE: Enum = Enum(&[("LANGUAGE_UNSPECIFIED", 0), ("PYTHON", 1)]);
pub const OUTCOME: Enum = Enum(&[
    ("OUTCOME_UNSPECIFIED", 0),
    ("OUTCOME_OK", 1),
    ("OUTCOME_FAILED", 2),
    ("OUTCOME_DEADLINE_EXCEEDED", 3),
]);
pub const FUNCTION_CALLING_MODE: Enum =
    Enum(&[("MODE_UNSPECIFIED", 0), ("AUTO", 1), ("ANY", 2), ("NONE", 3), ("VALIDATED", 4)]);
pub const BEHAVIOR: Enum = Enum(&[("UNSPECIFIED", 0), ("BLOCKING", 1), ("NON_BLOCKING", 2)]);
pub const SCHEDULING: Enum =
    Enum(&[("SCHEDULING_UNSPECIFIED", 0), ("SILENT", 1), ("WHEN_IDLE", 2), ("INTERRUPT", 3)]);
pub const TYPE: Enum = Enum(&[
    ("TYPE_UNSPECIFIED", 0),
    ("STRING", 1),
    ("NUMBER", 2),
    ("INTEGER", 3),
    ("BOOLEAN", 4),
    ("ARRAY", 5),
    ("OBJECT", 6),
    ("NULL", 7),
]);
/// Requested modalities.
pub const RESPONSE_MODALITY: Enum =
    Enum(&[("MODALITY_UNSPECIFIED", 0), ("TEXT", 1), ("IMAGE", 2), ("AUDIO", 3)]);
/// Modalities of token counts.
const MODALITY: Enum = Enum(&[
    ("MODALITY_UNSPECIFIED", 0),
    ("TEXT", 1),
    ("IMAGE", 2),
    ("VIDEO", 3),
    ("AUDIO", 4),
    ("DOCUMENT", 5),
]);
pub const MEDIA_RESOLUTION: Enum = Enum(&[
    ("MEDIA_RESOLUTION_UNSPECIFIED", 0),
    ("MEDIA_RESOLUTION_LOW", 1),
    ("MEDIA_RESOLUTION_MEDIUM", 2),
    ("MEDIA_RESOLUTION_HIGH", 3),
]);
/// Not in the published `.proto` files of the Gemini API: the numbers are those of Vertex AI.
pub const THINKING_LEVEL: Enum = Enum(&[
    ("THINKING_LEVEL_UNSPECIFIED", 0),
    ("LOW", 1),
    ("MEDIUM", 2),
    ("HIGH", 3),
    ("MINIMAL", 4),
]);
/// Not in the published `.proto` files: the numbers are the positions in the service's own list.
pub const SERVICE_TIER: Enum =
    Enum(&[("unspecified", 0), ("standard", 1), ("flex", 2), ("priority", 3)]);
/// Where a computer is used.
pub const ENVIRONMENT: Enum = Enum(&[
    ("ENVIRONMENT_UNSPECIFIED", 0),
    ("ENVIRONMENT_BROWSER", 1),
    ("ENVIRONMENT_MOBILE", 2),
    ("ENVIRONMENT_DESKTOP", 3),
]);
/// The numbers are the positions in the SDKs.
pub const SAFETY_POLICY: Enum = Enum(&[
    ("SAFETY_POLICY_UNSPECIFIED", 0),
    ("FINANCIAL_TRANSACTIONS", 1),
    ("SENSITIVE_DATA_MODIFICATION", 2),
    ("COMMUNICATION_TOOL", 3),
    ("ACCOUNT_CREATION", 4),
    ("DATA_MODIFICATION", 5),
    ("USER_CONSENT_MANAGEMENT", 6),
    ("LEGAL_TERMS_AND_AGREEMENTS", 7),
]);
/// The numbers are the positions in the SDKs.
pub const TOOL_TYPE: Enum = Enum(&[
    ("TOOL_TYPE_UNSPECIFIED", 0),
    ("GOOGLE_SEARCH_WEB", 1),
    ("GOOGLE_SEARCH_IMAGE", 2),
    ("URL_CONTEXT", 3),
    ("GOOGLE_MAPS", 4),
    ("FILE_SEARCH", 5),
    ("MEDIA_PROCESSING", 6),
]);
const URL_RETRIEVAL_STATUS: Enum = Enum(&[
    ("URL_RETRIEVAL_STATUS_UNSPECIFIED", 0),
    ("URL_RETRIEVAL_STATUS_SUCCESS", 1),
    ("URL_RETRIEVAL_STATUS_ERROR", 2),
    ("URL_RETRIEVAL_STATUS_PAYWALL", 3),
    ("URL_RETRIEVAL_STATUS_UNSAFE", 4),
]);
/// What an embedding is for.
pub const TASK_TYPE: Enum = Enum(&[
    ("TASK_TYPE_UNSPECIFIED", 0),
    ("RETRIEVAL_QUERY", 1),
    ("RETRIEVAL_DOCUMENT", 2),
    ("SEMANTIC_SIMILARITY", 3),
    ("CLASSIFICATION", 4),
    ("CLUSTERING", 5),
    ("QUESTION_ANSWERING", 6),
    ("FACT_VERIFICATION", 7),
    ("CODE_RETRIEVAL_QUERY", 8),
]);
pub const HARM_CATEGORY: Enum = Enum(&[
    ("HARM_CATEGORY_UNSPECIFIED", 0),
    ("HARM_CATEGORY_DEROGATORY", 1),
    ("HARM_CATEGORY_TOXICITY", 2),
    ("HARM_CATEGORY_VIOLENCE", 3),
    ("HARM_CATEGORY_SEXUAL", 4),
    ("HARM_CATEGORY_MEDICAL", 5),
    ("HARM_CATEGORY_DANGEROUS", 6),
    ("HARM_CATEGORY_HARASSMENT", 7),
    ("HARM_CATEGORY_HATE_SPEECH", 8),
    ("HARM_CATEGORY_SEXUALLY_EXPLICIT", 9),
    ("HARM_CATEGORY_DANGEROUS_CONTENT", 10),
    ("HARM_CATEGORY_CIVIC_INTEGRITY", 11),
]);
pub const HARM_THRESHOLD: Enum = Enum(&[
    ("HARM_BLOCK_THRESHOLD_UNSPECIFIED", 0),
    ("BLOCK_LOW_AND_ABOVE", 1),
    ("BLOCK_MEDIUM_AND_ABOVE", 2),
    ("BLOCK_ONLY_HIGH", 3),
    ("BLOCK_NONE", 4),
    ("OFF", 5),
]);
const FINISH_REASON: Enum = Enum(&[
    ("FINISH_REASON_UNSPECIFIED", 0),
    ("STOP", 1),
    ("MAX_TOKENS", 2),
    ("SAFETY", 3),
    ("RECITATION", 4),
    ("OTHER", 5),
    ("LANGUAGE", 6),
    ("BLOCKLIST", 7),
    ("PROHIBITED_CONTENT", 8),
    ("SPII", 9),
    ("MALFORMED_FUNCTION_CALL", 10),
    ("IMAGE_SAFETY", 11),
    ("UNEXPECTED_TOOL_CALL", 12),
    ("TOO_MANY_TOOL_CALLS", 13),
    ("IMAGE_PROHIBITED_CONTENT", 14),
    ("IMAGE_OTHER", 15),
    ("NO_IMAGE", 16),
    ("IMAGE_RECITATION", 17),
]);
const FILE_STATE: Enum =
    Enum(&[("STATE_UNSPECIFIED", 0), ("PROCESSING", 1), ("ACTIVE", 2), ("FAILED", 10)]);
const FILE_SOURCE: Enum =
    Enum(&[("SOURCE_UNSPECIFIED", 0), ("UPLOADED", 1), ("GENERATED", 2), ("REGISTERED", 3)]);

impl Enum {
    /// The name of the unspecified value.
    pub fn unspecified(self) -> &'static str {
        self.0[0].0
    }

    pub fn names(self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    /// Enums of proto3 are open: the service's parser keeps a number without a name, which means
    /// the same as the unspecified value.
    fn name_of(self, number: i64) -> &'static str {
        let found = self.0.iter().find(|(_, other)| i64::from(*other) == number);
        found.map_or(self.unspecified(), |(name, _)| *name)
    }

    fn number_of(self, name: &str) -> Option<i32> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, number)| *number)
    }

    /// The name of a value, given as a name or a number. The name may be unknown.
    pub fn word(self, node: Node) -> Result<String, WireError> {
        match node.value() {
            Value::Number(_) => Ok(self.name_of(i64::from(int32(&node)?)).to_owned()),
            // A known number may be a string.
            Value::String(text) => match text.parse::<i32>() {
                Ok(number) if self.0.iter().any(|(_, known)| *known == number) => {
                    Ok(self.name_of(number.into()).to_owned())
                }
                _ => node.string(),
            },
            _ => Err(node.not("a name or a number")),
        }
    }

    /// Like [`Self::word`], but the name must be one of the enum or of `others`.
    pub fn one_of(self, node: Node, others: &[&str]) -> Result<String, WireError> {
        let names = [others, &self.names()].concat();
        let wrong = |word: &str| node.wrong(format!("'{word}' is not one of {}", names.join(", ")));
        let word = self.word(node.clone())?;
        if names.contains(&word.as_str()) { Ok(word) } else { Err(wrong(&word)) }
    }
}

/// A `float` or `double`; `NaN` and the infinities are strings.
pub fn number(node: &Node) -> Result<f64, WireError> {
    let number = match node.value() {
        Value::String(text) => float_of(text),
        value => value.as_f64(),
    };
    number.ok_or_else(|| node.not("a number"))
}

/// The number as JSON, unchanged if it is one already.
pub fn json_number(node: &Node) -> Result<Value, WireError> {
    let Value::String(text) = node.value() else {
        number(node)?;
        return Ok(node.value().clone());
    };
    if let Ok(integer) = text.parse::<i64>() {
        return Ok(integer.into());
    }
    Number::from_f64(number(node)?).map(Value::Number).ok_or_else(|| node.not("a number"))
}

pub fn int64(node: &Node) -> Result<i64, WireError> {
    let integer = match node.value() {
        Value::String(text) => text.parse().ok().or_else(|| whole(float_of(text)?)),
        value => value.as_i64().or_else(|| whole(value.as_f64()?)),
    };
    integer.ok_or_else(|| node.not("an integer"))
}

pub fn int32(node: &Node) -> Result<i32, WireError> {
    let integer = int64(node)?;
    i32::try_from(integer).map_err(|_| node.wrong(format!("{integer} is not a 32-bit integer")))
}

/// Accepts JSON's numbers and the three words for `NaN` and the infinities. Rust's parser accepts
/// more.
fn float_of(text: &str) -> Option<f64> {
    let is_word = matches!(text, "NaN" | "Infinity" | "-Infinity");
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if is_word || is_number { text.parse().ok() } else { None }
}

/// An integral float, in the range in which floats represent all integers.
fn whole(number: f64) -> Option<i64> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is an integer of at most 53 bits")]
    (number.fract() == 0.0 && number.abs() <= MOST).then_some(number as i64)
}

/// Replaces the enum names of an answer by numbers, for `$alt=json;enum-encoding=int`. A name
/// without a number remains, because parsers accept both.
pub fn with_numbers(answer: &mut Value) {
    for candidate in items(answer, "candidates") {
        encode(candidate, "finishReason", FINISH_REASON);
        for url in candidate
            .get_mut("urlContextMetadata")
            .into_iter()
            .flat_map(|it| items(it, "urlMetadata"))
        {
            encode(url, "urlRetrievalStatus", URL_RETRIEVAL_STATUS);
        }
        for part in candidate.get_mut("content").into_iter().flat_map(|it| items(it, "parts")) {
            if let Some(code) = part.get_mut("executableCode") {
                encode(code, "language", LANGUAGE);
            }
            if let Some(result) = part.get_mut("codeExecutionResult") {
                encode(result, "outcome", OUTCOME);
            }
            for name in ["toolCall", "toolResponse"] {
                if let Some(invocation) = part.get_mut(name) {
                    encode(invocation, "toolType", TOOL_TYPE);
                }
            }
        }
    }
    counts_with_numbers(answer);
    if let Some(usage) = answer.get_mut("usageMetadata") {
        encode(usage, "serviceTier", SERVICE_TIER);
        counts_with_numbers(usage);
    }
    for file in items(answer, "files") {
        file_with_numbers(file);
    }
}

/// The same for a file.
pub fn file_with_numbers(file: &mut Value) {
    encode(file, "state", FILE_STATE);
    encode(file, "source", FILE_SOURCE);
}

fn counts_with_numbers(counts: &mut Value) {
    for name in ["promptTokensDetails", "candidatesTokensDetails", "toolUsePromptTokensDetails"] {
        for count in items(counts, name) {
            encode(count, "modality", MODALITY);
        }
    }
}

fn items<'a>(value: &'a mut Value, name: &str) -> &'a mut [Value] {
    value.get_mut(name).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

fn encode(message: &mut Value, name: &str, words: Enum) {
    if let Some(value) = message.get_mut(name)
        && let Some(number) = value.as_str().and_then(|word| words.number_of(word))
    {
        *value = number.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(value: Value) -> Node {
        let body = Node::root(json!({ "x": value }));
        body.object().expect("it is one").require("x").expect("it is there")
    }

    #[test]
    fn a_number_may_be_a_string_and_an_integer_may_have_an_exponent() {
        for (value, wanted) in [
            (json!(7), Some(7)),
            (json!(7.0), Some(7)),
            (json!(1e2), Some(100)),
            (json!("7"), Some(7)),
            (json!("-7"), Some(-7)),
            (json!("1e2"), Some(100)),
            (json!("7.0"), Some(7)),
            (json!("9007199254740993"), Some(9_007_199_254_740_993)),
            (json!(7.5), None),
            (json!("7.5"), None),
            (json!(""), None),
            (json!(" 7"), None),
            (json!("+7x"), None),
            (json!("NaN"), None),
            (json!(true), None),
            (json!([7]), None),
        ] {
            assert_eq!(int64(&node(value.clone())).ok(), wanted, "{value}");
        }
        int32(&node(json!(i64::from(i32::MAX) + 1))).expect_err("it has more bits");
        int32(&node(json!("2147483648"))).expect_err("it has more bits");
        assert_eq!(int32(&node(json!("2147483647"))), Ok(i32::MAX));
    }

    #[test]
    fn a_float_may_be_a_string_nan_or_infinity() {
        for (value, wanted) in [
            (json!(0.5), Some(0.5)),
            (json!("0.5"), Some(0.5)),
            (json!("5e-1"), Some(0.5)),
            (json!("-Infinity"), Some(f64::NEG_INFINITY)),
            (json!("Infinity"), Some(f64::INFINITY)),
            (json!("inf"), None),
            (json!("nan"), None),
            (json!("hot"), None),
            (json!(""), None),
            (json!("1 "), None),
            (json!(false), None),
        ] {
            assert_eq!(number(&node(value.clone())).ok(), wanted, "{value}");
        }
        assert!(number(&node(json!("NaN"))).expect("it is a word").is_nan());
        for (value, wanted) in [
            (json!(1), json!(1)),
            (json!(40.0), json!(40.0)),
            (json!("40"), json!(40)),
            (json!("0.5"), json!(0.5)),
        ] {
            assert_eq!(json_number(&node(value)), Ok(wanted));
        }
        json_number(&node(json!("NaN"))).expect_err("JSON has no NaN");
    }

    #[test]
    fn a_value_of_an_enum_is_a_name_or_a_number() {
        for (value, wanted) in [
            (json!("PYTHON"), Some("PYTHON")),
            (json!(1), Some("PYTHON")),
            (json!(1.0), Some("PYTHON")),
            (json!("1"), Some("PYTHON")),
            (json!(0), Some("LANGUAGE_UNSPECIFIED")),
            // A value of a newer client's enum.
            (json!(99), Some("LANGUAGE_UNSPECIFIED")),
            (json!("BASH"), None),
            (json!("99"), None),
            (json!(1.5), None),
            (json!(true), None),
            (json!([]), None),
        ] {
            let read = LANGUAGE.one_of(node(value.clone()), &[]);
            assert_eq!(read.ok().as_deref(), wanted, "{value}");
        }
        let error = LANGUAGE.one_of(node(json!("BASH")), &["python"]).expect_err("it is unknown");
        assert!(
            error.to_string().contains("'BASH' is not one of python, LANGUAGE_UNSPECIFIED, PYTHON")
        );
    }

    #[test]
    fn enum_names_of_an_answer_become_numbers_and_user_texts_do_not() {
        let mut answer = json!({
            "candidates": [{"finishReason": "STOP", "index": 0, "content": {"role": "model", "parts": [
                {"text": "STOP"},
                {"executableCode": {"language": "PYTHON", "code": "PYTHON"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "OUTCOME_OK"}},
                {"functionCall": {"name": "f", "args": {"language": "PYTHON", "outcome": "OUTCOME_OK"}}},
            ]}}],
            "usageMetadata": {
                "promptTokensDetails": [{"modality": "DOCUMENT", "tokenCount": 1}],
                "serviceTier": "standard",
            },
        });
        with_numbers(&mut answer);
        assert_eq!(
            answer,
            json!({
                "candidates": [{"finishReason": 1, "index": 0, "content": {"role": "model", "parts": [
                    {"text": "STOP"},
                    {"executableCode": {"language": 1, "code": "PYTHON"}},
                    {"codeExecutionResult": {"outcome": 2, "output": "OUTCOME_OK"}},
                    {"functionCall": {"name": "f", "args": {"language": "PYTHON", "outcome": "OUTCOME_OK"}}},
                ]}}],
                "usageMetadata": {
                    "promptTokensDetails": [{"modality": 5, "tokenCount": 1}], "serviceTier": 1,
                },
            })
        );
        let mut newer = json!({"candidates": [{"finishReason": "MODEL_ARMOR"}]});
        let same = newer.clone();
        with_numbers(&mut newer);
        assert_eq!(newer, same);
    }
}
