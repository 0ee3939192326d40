//! `generation_config`. Passed to the model unchanged, after its fields have been validated.

use serde_json::Value;

use super::WireError;
use super::json_reader::{Node, ObjectReader};

pub fn config(node: Node) -> Result<Value, WireError> {
    let value = node.value().clone();
    let mut fields = node.object()?;
    range(&mut fields, "temperature", 0.0, 2.0)?;
    range(&mut fields, "top_p", 0.0, 1.0)?;
    if let Some(seed) = fields.take("seed") {
        seed.integer()?;
    }
    if let Some(limit) = fields.take("max_output_tokens")
        && limit.integer()? < 1
    {
        return Err(limit.wrong("must be at least 1"));
    }
    if let Some(sequences) = fields.take("stop_sequences") {
        for sequence in sequences.list()? {
            sequence.string()?;
        }
    }
    if let Some(level) = fields.take("thinking_level") {
        level.one_of(&["minimal", "low", "medium", "high", "xhigh"])?;
    }
    if let Some(summaries) = fields.take("thinking_summaries") {
        summaries.one_of(&["auto", "none"])?;
    }
    if let Some(choice) = fields.take("tool_choice") {
        tool_choice(choice)?;
    }
    for name in ["image_config", "transcription_config", "video_config"] {
        fields.object(name)?;
    }
    if let Some(speech) = fields.take("speech_config")
        && !matches!(speech.value(), Value::Object(_) | Value::Array(_))
    {
        return Err(speech.not("an object or a list"));
    }
    fields.done()?;
    Ok(value)
}

const MODES: &[&str] = &["auto", "any", "none", "validated"];

/// Validates a mode, or `{"allowed_tools": {"mode": …, "tools": […]}}`.
fn tool_choice(node: Node) -> Result<(), WireError> {
    if node.value().is_string() {
        return node.one_of(MODES).map(drop);
    }
    let mut choice = node.object()?;
    let mut allowed = choice.require("allowed_tools")?.object()?;
    if let Some(mode) = allowed.take("mode") {
        mode.one_of(MODES)?;
    }
    if let Some(tools) = allowed.take("tools") {
        for tool in tools.list()? {
            tool.string()?;
        }
    }
    allowed.done()?;
    choice.done()
}

fn range(fields: &mut ObjectReader, name: &str, from: f64, to: f64) -> Result<(), WireError> {
    match fields.take(name) {
        Some(node) if !(from..=to).contains(&node.number()?) => {
            Err(node.wrong(format!("must be between {from} and {to}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<Value, String> {
        let body = Node::root(json!({"g": json}));
        let node = body.object().expect("it is one").require("g").expect("it is there");
        config(node).map_err(|error| error.to_string())
    }

    #[test]
    fn a_valid_config_is_unchanged() {
        let every = json!({
            "temperature": 0.7, "top_p": 1, "seed": -3, "max_output_tokens": 100,
            "stop_sequences": ["END"], "thinking_level": "low", "thinking_summaries": "auto",
            "tool_choice": {"allowed_tools": {"mode": "any", "tools": ["f"]}},
            "image_config": {}, "speech_config": [{}], "video_config": {},
        });
        assert_eq!(read(every.clone()), Ok(every));
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (config, wanted) in [
            (
                json!({"temperature": "hot"}),
                "Invalid type for 'g.temperature': expected a number, got a string.",
            ),
            (
                json!({"temperature": 3}),
                "Invalid value for 'g.temperature': must be between 0 and 2.",
            ),
            (json!({"top_k": 3}), "Unknown parameter 'g.top_k'."),
            (json!({"maxOutputTokens": 3}), "Unknown parameter 'g.maxOutputTokens'."),
            (json!({"max_output_tokens": 0}), "must be at least 1"),
            (json!({"seed": 1.5}), "expected an integer"),
            (json!({"stop_sequences": [1]}), "Invalid type for 'g.stop_sequences[0]'"),
            (json!({"thinking_level": "THINKING_LEVEL_LOW"}), "is not one of minimal, low"),
            (json!({"tool_choice": "some"}), "'some' is not one of auto, any"),
            (
                json!({"tool_choice": {"mode": "any"}}),
                "Missing required parameter 'g.tool_choice.allowed_tools'.",
            ),
            (json!([]), "expected an object, got a list"),
        ] {
            let error = read(config.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{config} gave {error}");
        }
    }
}
