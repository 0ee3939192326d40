//! Validates `generationConfig` and converts it to the fields of the interactions API, so that
//! backends handle one format. ObjectReader without an equivalent keep their names.

use serde_json::{Map, Value};

use super::schema::json_schema;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;

/// Limit of the real service.
pub const MAX_STOP_SEQUENCES: usize = 5;

/// A response that is one of several enum values.
const ENUM: &str = "text/x.enum";

/// How the answer is requested.
#[derive(Debug, Default, PartialEq)]
pub struct AnswerConfig {
    /// For the model; `Null` if the request has none.
    pub generation: Value,
    /// Whether the client requests thought summaries.
    pub thoughts: bool,
}

/// Only for models that generate images and audio. Accepted and ignored.
pub const IGNORED: &[&str] = &[
    "audioTimestamp",
    "audioTranscriptionConfig",
    "enableEnhancedCivicAnswers",
    "imageConfig",
    "modelConfig",
    "modelSelectionConfig",
    "routingConfig",
    "speechConfig",
];

pub fn config(node: Node) -> Result<AnswerConfig, WireError> {
    let mut fields = node.object()?.camel()?;
    let mut config = Map::new();
    for (name, word, from, to) in [
        ("temperature", "temperature", 0.0, 2.0),
        ("topP", "top_p", 0.0, 1.0),
        ("topK", "top_k", 0.0, f64::MAX),
        ("presencePenalty", "presence_penalty", -2.0, 2.0),
        ("frequencyPenalty", "frequency_penalty", -2.0, 2.0),
    ] {
        if let Some(node) = fields.take(name) {
            if !(from..=to).contains(&proto::number(&node)?) {
                return Err(node.wrong(format!("must be between {from} and {to}")));
            }
            config.insert(word.to_owned(), proto::json_number(&node)?);
        }
    }
    if let Some(node) = fields.take("maxOutputTokens") {
        let tokens = proto::int32(&node)?;
        if tokens < 1 {
            return Err(node.wrong(format!("must be between 1 and {}", i32::MAX)));
        }
        config.insert("max_output_tokens".to_owned(), tokens.into());
    }
    if let Some(seed) = fields.take("seed") {
        config.insert("seed".to_owned(), proto::int32(&seed)?.into());
    }
    // Only for models with vision. Validated and ignored.
    if let Some(node) = fields.take("mediaResolution") {
        proto::MEDIA_RESOLUTION.word(node)?;
    }
    stop_sequences(&mut fields, &mut config)?;
    response(&mut fields, &mut config)?;
    let thoughts = fields.take("thinkingConfig").map(|node| thinking(node, &mut config));
    for name in IGNORED {
        fields.take(name);
    }
    fields.done()?;
    let generation = if config.is_empty() { Value::Null } else { config.into() };
    Ok(AnswerConfig { generation, thoughts: thoughts.transpose()?.unwrap_or(false) })
}

fn stop_sequences(
    fields: &mut ObjectReader,
    config: &mut Map<String, Value>,
) -> Result<(), WireError> {
    let Some(node) = fields.take("stopSequences") else { return Ok(()) };
    let too_many = node.wrong(format!("at most {MAX_STOP_SEQUENCES} are allowed"));
    let sequences: Vec<_> = node.list()?.into_iter().map(Node::string).collect::<Result<_, _>>()?;
    if sequences.len() > MAX_STOP_SEQUENCES {
        return Err(too_many);
    }
    if !sequences.is_empty() {
        config.insert("stop_sequences".to_owned(), sequences.into());
    }
    Ok(())
}

/// The response format.
fn response(fields: &mut ObjectReader, config: &mut Map<String, Value>) -> Result<(), WireError> {
    if let Some(count) = fields.take("candidateCount")
        && proto::int32(&count)? != 1
    {
        return Err(count.wrong("this server returns one candidate"));
    }
    if fields.boolean("responseLogprobs")? == Some(true) || fields.has("logprobs") {
        return Err(fields.wrong("'logprobs' are not supported by this server"));
    }
    if let Some(modalities) = fields.take("responseModalities") {
        for modality in modalities.list()? {
            proto::RESPONSE_MODALITY.one_of(modality, &["text", "image", "audio"])?;
        }
    }
    let mime_type = fields.string("responseMimeType")?;
    let own = fields.take("responseSchema").map(|schema| json_schema(schema.into_value()));
    let schema = fields.take("responseJsonSchema").map(Node::into_value).or(own);
    let kind = schema.as_ref().and_then(|schema| schema["type"].as_str());
    if mime_type.as_deref() == Some(ENUM) && matches!(kind, Some("array" | "object")) {
        return Err(fields.wrong(format!("'{ENUM}' requires a schema with an 'enum'")));
    }
    if let Some(mime_type) = mime_type {
        config.insert("response_mime_type".to_owned(), mime_type.into());
    }
    if let Some(schema) = schema {
        config.insert("response_json_schema".to_owned(), schema);
    }
    Ok(())
}

/// Parses `thinkingConfig`; returns whether thoughts are included.
pub fn thinking(node: Node, config: &mut Map<String, Value>) -> Result<bool, WireError> {
    let mut fields = node.object()?.camel()?;
    if let Some(level) = fields.take("thinkingLevel") {
        // Python's SDK accepts and forwards both cases.
        let others = ["XHIGH", "minimal", "low", "medium", "high"];
        let level = proto::THINKING_LEVEL.one_of(level, &others)?;
        if level != "THINKING_LEVEL_UNSPECIFIED" {
            config.insert("thinking_level".to_owned(), level.to_lowercase().into());
        }
    }
    if let Some(budget) = fields.take("thinkingBudget") {
        config.insert("thinking_budget".to_owned(), proto::int32(&budget)?.into());
    }
    let thoughts = fields.boolean("includeThoughts")?.unwrap_or(false);
    if thoughts {
        config.insert("thinking_summaries".to_owned(), "auto".into());
    }
    fields.done()?;
    Ok(thoughts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<AnswerConfig, String> {
        let body = Node::root(json!({"g": json}));
        let node = body.object().expect("it is one").require("g").expect("it is there");
        config(node).map_err(|error| error.to_string())
    }

    #[test]
    fn a_valid_config_is_converted_to_the_interactions_api() {
        let config = read(json!({
            "temperature": 0.7, "topP": 1, "top_k": 40.0, "seed": 7, "maxOutputTokens": 100,
            "stopSequences": ["END"], "candidateCount": 1, "responseModalities": ["TEXT"],
            "responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"},
            "thinkingConfig": {"thinking_level": "LOW", "includeThoughts": true},
            "speechConfig": {}, "presencePenalty": 0,
        }));
        let config = config.expect("it is valid");
        assert!(config.thoughts);
        assert_eq!(
            config.generation,
            json!({
                "temperature": 0.7, "top_p": 1, "top_k": 40.0, "presence_penalty": 0,
                "max_output_tokens": 100, "seed": 7, "stop_sequences": ["END"],
                "response_mime_type": "application/json", "response_json_schema": {"type": "object"},
                "thinking_level": "low", "thinking_summaries": "auto",
            })
        );
        assert_eq!(read(json!({})), Ok(AnswerConfig::default()));
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (config, wanted) in [
            (json!({"temperature": "hot"}), "Invalid type for 'g.temperature'"),
            (json!({"temperature": 3}), "must be between 0 and 2"),
            (json!({"max_output_tokens": 0}), "Invalid value for 'g.maxOutputTokens'"),
            (json!({"candidateCount": 2}), "this server returns one candidate"),
            (
                json!({"responseMimeType": "text/x.enum", "responseSchema": {"type": "ARRAY"}}),
                "requires a schema with an 'enum'",
            ),
            (json!({"responseLogprobs": true}), "'logprobs' are not supported"),
            (json!({"stopSequences": ["a", "b", "c", "d", "e", "f"]}), "at most 5 are allowed"),
            (json!({"responseModalities": ["SMELL"]}), "'SMELL' is not one of text"),
            (json!({"thinkingConfig": {"thinkingLevel": "some"}}), "'some' is not one of XHIGH"),
            (
                json!({"thinkingConfig": {"level": 1}}),
                "Unknown parameter 'g.thinkingConfig.level'.",
            ),
            (json!({"thinking_level": "low"}), "Unknown parameter 'g.thinkingLevel'."),
        ] {
            let error = read(config.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{config} gave {error}");
        }
    }
}
