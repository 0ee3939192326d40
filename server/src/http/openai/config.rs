//! The settings of a request, converted to the fields of the interactions API as those of
//! `generateContent` are.

use serde_json::{Map, Value};

use crate::http::generate_content::config::{MAX_STOP_SEQUENCES, thinking};
use crate::http::generate_content::generation::Generation;
use crate::http::generate_content::request::safety_settings;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};

/// Limit of the real service on the answers of one request.
const MAX_CHOICES: i64 = 8;

/// How the answers are requested.
#[derive(Debug, PartialEq)]
pub struct ChatConfig {
    /// For the model; `Null` if the request has none.
    pub generation: Value,
    pub choices: usize,
    /// Whether the client requests thought summaries.
    pub thoughts: bool,
    /// Whether the request names a cached content.
    pub names_cache: bool,
}

pub fn config(model: &str, fields: &mut ObjectReader) -> Result<ChatConfig, WireError> {
    let mut config = Map::new();
    for (name, from, to) in [
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
    ] {
        if let Some(node) = fields.take(name) {
            if !(from..=to).contains(&node.number()?) {
                return Err(node.wrong(format!("must be between {from} and {to}")));
            }
            config.insert(name.to_owned(), node.into_value());
        }
    }
    if let Some(seed) = fields.take("seed") {
        config.insert("seed".to_owned(), seed.integer()?.into());
    }
    // The second is the newer name of the first.
    for name in ["max_tokens", "max_completion_tokens"] {
        if let Some(limit) = fields.take(name) {
            if !(1..=i64::from(i32::MAX)).contains(&limit.integer()?) {
                return Err(limit.wrong(format!("must be between 1 and {}", i32::MAX)));
            }
            config.insert("max_output_tokens".to_owned(), limit.into_value());
        }
    }
    if let Some(sequences) = fields.take("stop").map(stop).transpose()? {
        config.insert("stop_sequences".to_owned(), sequences.into());
    }
    if let Some(format) = fields.take("response_format") {
        response_format(format, &mut config)?;
    }
    let choices = fields.take("n").map(choices).transpose()?.unwrap_or(1);
    let (thoughts, names_cache) = thoughts(model, fields, &mut config)?;
    let generation = if config.is_empty() { Value::Null } else { config.into() };
    Ok(ChatConfig { generation, choices, thoughts, names_cache })
}

fn choices(node: Node) -> Result<usize, WireError> {
    let count = node.integer()?;
    let count = usize::try_from(count).ok().filter(|_| (1..=MAX_CHOICES).contains(&count));
    count.ok_or_else(|| node.wrong(format!("must be between 1 and {MAX_CHOICES}")))
}

/// A text or a list of them.
fn stop(node: Node) -> Result<Vec<String>, WireError> {
    if node.value().is_string() {
        return Ok(vec![node.string()?]);
    }
    let too_many = node.wrong(format!("at most {MAX_STOP_SEQUENCES} are allowed"));
    let sequences: Vec<String> =
        node.list()?.into_iter().map(Node::string).collect::<Result<_, _>>()?;
    if sequences.len() > MAX_STOP_SEQUENCES { Err(too_many) } else { Ok(sequences) }
}

fn response_format(node: Node, config: &mut Map<String, Value>) -> Result<(), WireError> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?.one_of(&["text", "json_object", "json_schema"])?;
    if kind != "text" {
        config.insert("response_mime_type".to_owned(), "application/json".into());
    }
    if kind == "json_schema" {
        let mut about = fields.require("json_schema")?.object()?;
        about.string("name")?;
        about.string("description")?;
        about.boolean("strict")?;
        if let Some(schema) = about.take("schema") {
            config.insert("response_json_schema".to_owned(), schema.into_value());
        }
        about.done()?;
    }
    fields.done()
}

/// How much the model thinks. Returns whether the client sees it, and whether it names a cached content.
fn thoughts(
    model: &str,
    fields: &mut ObjectReader,
    config: &mut Map<String, Value>,
) -> Result<(bool, bool), WireError> {
    let effort = fields.take("reasoning_effort");
    // Python's SDK puts the fields of its `extra_body` beside the others, so that Google's examples
    // send a field of this name; other clients leave the name out.
    let body = fields.take("extra_body").map(Node::object).transpose()?;
    let (inside, body) = match body {
        Some(mut body) => (body.take("google"), Some(body)),
        None => (None, None),
    };
    if let Some(body) = body {
        body.done()?;
    }
    let GoogleSettings { thinking_config, names_cache } = match (inside, fields.take("google")) {
        (Some(node), Some(_)) => return Err(node.wrong("'google' is set twice")),
        (Some(node), None) | (None, Some(node)) => google(node)?,
        (None, None) => GoogleSettings::default(),
    };
    if let (Some(effort), Some(_)) = (&effort, &thinking_config) {
        return Err(effort.wrong("it excludes 'thinking_config'"));
    }
    if let Some(effort) = effort {
        let (name, value) = effort_of(model, effort)?;
        config.insert(name.to_owned(), value);
    }
    let thoughts = thinking_config.map_or(Ok(false), |node| thinking(node, config))?;
    Ok((thoughts, names_cache))
}

/// Google's own settings.
#[derive(Debug, Default)]
struct GoogleSettings {
    thinking_config: Option<Node>,
    names_cache: bool,
}

fn google(node: Node) -> Result<GoogleSettings, WireError> {
    let mut fields = node.object()?.camel()?;
    let thinking_config = fields.take("thinkingConfig");
    let names_cache = fields.string("cachedContent")?.is_some();
    safety_settings(&mut fields)?;
    fields.done()?;
    Ok(GoogleSettings { thinking_config, names_cache })
}

/// Google's table: a level from Gemini 3 on, a number of tokens before.
fn effort_of(model: &str, node: Node) -> Result<(&'static str, Value), WireError> {
    let effort = node.one_of(&["none", "minimal", "low", "medium", "high"])?;
    if Generation::of_model(model) == Some(Generation::BeforeThree) {
        let budget = match effort.as_str() {
            "none" => 0,
            "minimal" | "low" => 1024,
            "medium" => 8192,
            _ => 24576,
        };
        return Ok(("thinking_budget", budget.into()));
    }
    // These models always think.
    let level = if effort == "none" { "minimal".to_owned() } else { effort };
    Ok(("thinking_level", level.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(model: &str, body: Value) -> Result<ChatConfig, String> {
        let mut fields = Node::root(body).object().expect("it is one");
        config(model, &mut fields).map_err(|error| error.to_string())
    }

    #[test]
    fn the_effort_is_a_level_or_a_budget() {
        for (model, effort, wanted) in [
            ("gemini-3.8-flash", "low", json!({"thinking_level": "low"})),
            ("gemini-3.8-flash", "none", json!({"thinking_level": "minimal"})),
            ("gemini-2.5-flash", "none", json!({"thinking_budget": 0})),
            ("gemini-2.5-flash", "minimal", json!({"thinking_budget": 1024})),
            ("gemini-2.5-flash", "high", json!({"thinking_budget": 24576})),
            ("qwen3:8b", "medium", json!({"thinking_level": "medium"})),
        ] {
            let config = read(model, json!({"reasoning_effort": effort})).expect("it is valid");
            assert_eq!(config.generation, wanted, "{model} {effort}");
        }
    }

    #[test]
    fn google_s_settings_are_in_extra_body_or_beside_it() {
        let google = json!({"thinking_config": {"thinking_budget": 5, "include_thoughts": true}});
        let wanted = json!({"thinking_budget": 5, "thinking_summaries": "auto"});
        for body in [json!({"google": google}), json!({"extra_body": {"google": google}})] {
            let config = read("m", body).expect("it is valid");
            assert_eq!((config.generation, config.thoughts), (wanted.clone(), true));
        }
    }

    #[test]
    fn formats_and_stop_sequences_are_converted() {
        let schema = json!({"type": "object"});
        let config = read(
            "m",
            json!({"stop": ["a", "b"], "max_completion_tokens": 3, "n": 8, "response_format":
                {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}}}),
        );
        let wanted = json!({
            "max_output_tokens": 3, "stop_sequences": ["a", "b"],
            "response_mime_type": "application/json", "response_json_schema": schema,
        });
        let config = config.expect("it is valid");
        assert_eq!((config.generation, config.choices), (wanted, 8));
        let config = read("m", json!({"response_format": {"type": "text"}})).expect("it is valid");
        assert_eq!(config.generation, Value::Null);
    }

    #[test]
    fn an_invalid_setting_is_named_with_its_path() {
        let effort_and_config = json!({"reasoning_effort": "low",
                                       "google": {"thinking_config": {"thinking_budget": 1}}});
        for (body, wanted) in [
            (json!({"temperature": 3}), "must be between 0 and 2"),
            (json!({"max_tokens": 0}), "Invalid value for 'max_tokens': must be between 1 and"),
            (json!({"n": 9}), "Invalid value for 'n': must be between 1 and 8."),
            (json!({"n": "2"}), "Invalid type for 'n': expected an integer, got a string."),
            (json!({"stop": ["a", "b", "c", "d", "e", "f"]}), "at most 5 are allowed"),
            (json!({"reasoning_effort": "xhigh"}), "'xhigh' is not one of none, minimal"),
            (effort_and_config, "'reasoning_effort': it excludes 'thinking_config'."),
            (json!({"google": {"cache": 1}}), "Unknown parameter 'google.cache'."),
            (json!({"extra_body": {"x": 1}}), "Unknown parameter 'extra_body.x'."),
            (json!({"google": {}, "extra_body": {"google": {}}}), "'google' is set twice"),
            (json!({"response_format": {"type": "xml"}}), "'xml' is not one of text, json_object"),
            (
                json!({"response_format": {"type": "json_schema"}}),
                "Missing required parameter 'response_format.json_schema'.",
            ),
        ] {
            let error = read("m", body.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{body} gave {error}");
        }
    }
}
