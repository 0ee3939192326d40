//! The body of `chat/completions`.

use serde_json::Value;

use super::config::{self, ChatConfig};
use super::message::{self, Messages};
use super::tool;
use crate::engine::Request;
use crate::http::generate_content::content;
use crate::http::generate_content::history::{self, Signatures};
use crate::http::generate_content::prefix::{self, CachedPrefix};
use crate::http::generate_content::request::of_model;
use crate::http::generate_content::{generation, tool::OfferedTools};
use crate::http::vertex::Dialect;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::request::MAX_MODEL_BYTES;

/// A request for chat completions, and its options.
#[derive(Debug)]
pub struct ChatRequest {
    pub request: Request,
    /// Number of answers.
    pub choices: usize,
    pub delivery: Delivery,
    /// Whether the client requests thought summaries.
    pub thoughts: bool,
    /// Tokens of the prompt that came from a cached content.
    pub cached: u64,
}

/// How the client gets its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    /// `usage` means that a last chunk has the token counts.
    Stream {
        usage: bool,
    },
}

/// Parses a request. `own` decides whether a model checks its thought signatures itself; `cached` is the
/// cached content that the request names.
pub fn chat(
    body: Value,
    own: impl FnOnce(&str) -> bool,
    cached: Option<CachedPrefix>,
) -> Result<ChatRequest, WireError> {
    let mut fields = Node::root(body).object()?;
    let model = model(fields.require("model")?)?;
    let Messages { instruction, turns: new } = message::messages(fields.require("messages")?)?;
    let offer = tool::offer(fields.take("tools"), fields.take("tool_choice"))?;
    fields.boolean("parallel_tool_calls")?;
    let config = config::config(&model, &mut fields)?;
    let ChatConfig { mut generation, choices, thoughts, names_cache } = config;
    if names_cache && (instruction.is_some() || !offer.is_empty()) {
        return Err(prefix::set_twice(&Dialect::Gemini));
    }
    let delivery = delivery(&mut fields)?;
    fields.string("user")?;
    fields.done()?;

    let cached = cached.unwrap_or_default();
    let mut turns = cached.turns;
    turns.extend(new);
    // At most one of both is set.
    let instruction = instruction.or(cached.instruction);
    let offer = if offer.is_empty() { cached.offer } else { offer };
    generation::check(&model, &offer, &generation)?;
    let OfferedTools { tools, choice, .. } = offer;
    if let Some(choice) = choice {
        generation["tool_choice"] = choice;
    }
    let signatures = if own(&model) { Signatures::Optional } else { Signatures::of_model(&model) };
    history::check(&mut turns, signatures)?;
    let request = Request {
        system_instruction: instruction,
        tools,
        generation_config: generation.into(),
        ..of_model(&model, content::steps(turns)?)
    };
    Ok(ChatRequest { request, choices, delivery, thoughts, cached: cached.tokens.total() })
}

/// The model that a body names, and its cached content.
pub fn named(body: &Value) -> Option<(&str, &str)> {
    let cached = [&body["extra_body"]["google"], &body["google"]].into_iter().find_map(|google| {
        google.get("cached_content").or_else(|| google.get("cachedContent"))?.as_str()
    });
    Some((without_prefix(body["model"].as_str()?), cached?))
}

fn without_prefix(name: &str) -> &str {
    name.strip_prefix("models/").or_else(|| name.strip_prefix("google/")).unwrap_or(name)
}

/// `gemini-3.8-flash`, `models/gemini-3.8-flash`, or as on Vertex `google/gemini-3.8-flash`.
pub fn model(node: Node) -> Result<String, WireError> {
    let empty = node.wrong("it must name a model");
    let long = node.wrong(format!("must not be longer than {MAX_MODEL_BYTES} bytes"));
    let name = node.string()?;
    let name = without_prefix(&name);
    match name.len() {
        0 => Err(empty),
        1..=MAX_MODEL_BYTES => Ok(name.to_owned()),
        _ => Err(long),
    }
}

fn delivery(fields: &mut ObjectReader) -> Result<Delivery, WireError> {
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let Some(node) = fields.take("stream_options") else {
        return Ok(if stream { Delivery::Stream { usage: false } } else { Delivery::Whole });
    };
    let not_streamed = node.wrong("only allowed with 'stream'");
    let mut options = node.object()?;
    let usage = options.boolean("include_usage")?.unwrap_or(false);
    // Whether chunks are padded against observers of their sizes.
    options.boolean("include_obfuscation")?;
    options.done()?;
    if stream { Ok(Delivery::Stream { usage }) } else { Err(not_streamed) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hello() -> Value {
        json!({"model": "models/m", "messages": [{"role": "user", "content": "hello"}]})
    }

    fn with(change: Value) -> Result<ChatRequest, String> {
        let mut body = hello();
        for (name, value) in change.as_object().expect("it is one") {
            body[name] = value.clone();
        }
        chat(body, |_| false, None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_model_has_several_spellings() {
        for name in ["m", "models/m", "google/m"] {
            assert_eq!(with(json!({"model": name})).expect("it is valid").request.model, "m");
        }
    }

    #[test]
    fn a_stream_has_usage_on_request() {
        for (change, wanted) in [
            (json!({}), Delivery::Whole),
            (json!({"stream": false}), Delivery::Whole),
            (json!({"stream": true}), Delivery::Stream { usage: false }),
            (
                json!({"stream": true, "stream_options": {"include_usage": true}}),
                Delivery::Stream { usage: true },
            ),
        ] {
            assert_eq!(with(change).expect("it is valid").delivery, wanted);
        }
    }

    #[test]
    fn tools_and_settings_are_converted() {
        let function = json!({"name": "f", "description": "d", "parameters": {"type": "object"}});
        let ChatRequest { request, choices, thoughts, .. } = with(json!({
            "tools": [{"type": "function", "function": function}], "tool_choice": "required",
            "temperature": 0.5, "max_tokens": 9, "stop": "END", "n": 2, "seed": 7,
            "response_format": {"type": "json_object"}, "reasoning_effort": "low",
            "extra_body": {"google": {"safety_settings": []}}, "user": "u",
        }))
        .expect("it is valid");
        assert_eq!(request.tools.offered, ["f"]);
        assert_eq!((choices, thoughts), (2, false));
        let config = json!({
            "temperature": 0.5, "max_output_tokens": 9, "stop_sequences": ["END"], "seed": 7,
            "response_mime_type": "application/json", "thinking_level": "low",
            "tool_choice": "any",
        });
        assert_eq!(*request.generation_config.as_json(), config);
    }

    #[test]
    fn the_rules_of_generate_content_apply() {
        let call = json!({"id": "c", "type": "function",
                          "function": {"name": "f", "arguments": "{}"}});
        let history = |model: &str| {
            json!({"model": model, "messages": [
                {"role": "user", "content": "?"}, {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "1"}]})
        };
        let unsigned = "Function call is missing a thought_signature in functionCall parts.";
        let error = with(history("gemini-3.8-flash")).expect_err("it is rejected");
        assert!(error.starts_with(unsigned), "{error}");
        with(history("gemini-2.5-flash")).expect("this model has no signatures");

        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let error = with(json!({"model": "gemini-2.5-flash", "tools": tools,
                                "response_format": {"type": "json_object"}}));
        let wanted =
            "Function calling with a response mime type: 'application/json' is unsupported";
        assert_eq!(error.expect_err("it is rejected"), wanted);
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (change, wanted) in [
            (json!({"model": null}), "Missing required parameter 'model'."),
            (json!({"model": "models/"}), "Invalid value for 'model': it must name a model."),
            (json!({"reasoning": {}}), "Unknown parameter 'reasoning'."),
            (json!({"stream_options": {}}), "only allowed with 'stream'"),
            (json!({"messages": []}), "contents is not specified"),
        ] {
            let error = with(change.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{change} gave {error}");
        }
    }
}
