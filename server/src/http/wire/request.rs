//! The body of `POST /interactions`.
//!
//! Every field of Google's API is parsed, rejected, or ignored on purpose. Any other field is an
//! error.

use serde_json::Value;
use strum::VariantNames as _;

use super::json_reader::{Node, ObjectReader};
use super::{WireError, format, generation, input, tool};
use crate::engine::Request;
use crate::http::vertex::{Dialect, model_name};
use backend::Tools;
use domain::interaction::ServiceTier;
use store::{Owner, Persistence};

/// Maximum length of the name of a model, which each chunk of an answer repeats.
pub const MAX_MODEL_BYTES: usize = 1000;

/// A request to create an interaction, and its options.
#[derive(Debug)]
pub struct Create {
    pub request: Request,
    pub stream: bool,
}

/// Fields of what this server does not have, each with its error message.
pub const ABSENT: &[(&str, &str)] = &[
    ("agent", "Agents are not supported by this server. Use 'model'."),
    ("agent_config", "Agents are not supported by this server. Use 'model'."),
    ("environment", "Environments are not supported by this server."),
    ("continuation_token", "Continuation tokens are not supported by this server."),
    ("webhook_config", "Webhooks are not supported by this server. Poll with GET."),
];

/// Fields that Google's API rejects too.
pub const REFUSED: &[(&str, &str)] = &[
    ("cached_content", "'cached_content' is not supported by the Interactions API."),
    (
        "outputs",
        "The legacy Interactions API schema is no longer supported: 'outputs' have become 'steps'.",
    ),
    (
        "response_mime_type",
        "The legacy Interactions API schema is no longer supported: 'response_mime_type' has become \
         part of 'response_format'.",
    ),
];

/// Fields of Vertex AI alone.
pub const OF_VERTEX: &[(&str, &str)] = &[
    ("labels", "'labels' is not supported by the Gemini API."),
    ("safety_settings", "'safety_settings' is not supported by the Gemini API."),
];

pub fn create(body: Value, dialect: &Dialect) -> Result<Create, WireError> {
    let mut fields = Node::root(body).object()?;
    if dialect.is_vertex() {
        // For billing, and for prompts that are checked.
        fields.object("labels")?;
        fields.take("safety_settings").map(Node::list).transpose()?;
    }
    if let Some((_, why)) = ABSENT.iter().find(|(name, _)| fields.has(name)) {
        return Err(WireError::Absent((*why).to_owned()));
    }
    if let Some((_, why)) = REFUSED.iter().chain(OF_VERTEX).find(|(name, _)| fields.has(name)) {
        return Err(WireError::Whole((*why).to_owned()));
    }
    let store = fields.boolean("store")?.unwrap_or(true);
    let background = fields.boolean("background")?.unwrap_or(false);
    if background && !store {
        let why = "'background' needs 'store', and 'store' is false.";
        return Err(WireError::Whole(why.to_owned()));
    }
    let model = model(&mut fields)?;
    let stream = fields.boolean("stream")?.unwrap_or(false);
    let missing = || WireError::Whole("Missing input.".to_owned());
    let input = input::input(fields.take("input").ok_or_else(missing)?)?;
    let tools = fields.take("tools").map_or(Ok(Tools::default()), tool::tools)?;
    let mut generation_config =
        fields.take("generation_config").map_or(Ok(Value::Null), generation::config)?;
    if let Some(format) = fields.take("response_format") {
        format::add(format, &mut generation_config)?;
    }
    let request = Request {
        model,
        input,
        previous_interaction_id: fields.string("previous_interaction_id")?,
        system_instruction: fields.string("system_instruction")?,
        tools,
        generation_config: generation_config.into(),
        persistence: if store { Persistence::Stored } else { Persistence::Ephemeral },
        background,
        service_tier: fields.take("service_tier").map(tier).transpose()?.unwrap_or_default(),
        // Set from the request's key; the body cannot set it.
        owner: Owner::default(),
        keys: Default::default(),
    };
    ignored(&mut fields)?;
    fields.done()?;
    Ok(Create { request, stream })
}

/// With or without `models/`, or as a resource of Vertex AI.
fn model(fields: &mut ObjectReader) -> Result<String, WireError> {
    let node = fields.require("model")?;
    let empty = node.wrong("must not be empty");
    let long = node.wrong(format!("must not be longer than {MAX_MODEL_BYTES} bytes"));
    let name = node.string()?;
    let name = model_name(&name);
    match name.len() {
        0 => Err(empty),
        1..=MAX_MODEL_BYTES => Ok(name.to_owned()),
        _ => Err(long),
    }
}

/// Only the response's `service_tier` depends on it.
fn tier(node: Node) -> Result<ServiceTier, WireError> {
    let word = node.one_of(ServiceTier::VARIANTS)?;
    Ok(word.parse().unwrap_or_default())
}

/// ObjectReader that are validated like Google's, and then ignored.
fn ignored(fields: &mut ObjectReader) -> Result<(), WireError> {
    if let Some(modalities) = fields.take("response_modalities") {
        for modality in modalities.list()? {
            modality.one_of(&["text", "image", "audio", "video", "document"])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(change: Value) -> Result<Create, String> {
        let mut body = json!({"model": "m", "input": "hello"});
        for (name, value) in change.as_object().expect("it is one") {
            body[name] = value.clone();
        }
        create(body, &Dialect::Gemini).map_err(|error| error.to_string())
    }

    #[test]
    fn a_minimal_request_has_googles_defaults() {
        let Create { request, stream } = read(json!({})).expect("it is valid");
        assert!(!stream);
        assert_eq!(request.persistence, Persistence::Stored);
        assert_eq!(request.model, "m");
        assert!(request.tools.offered.is_empty());
        assert_eq!(*request.generation_config.as_json(), Value::Null);
    }

    #[test]
    fn optional_fields_are_parsed() {
        let every = json!({
            "model": "models/gemini-x", "stream": true, "store": false, "background": false,
            "previous_interaction_id": "v1_x", "system_instruction": "Be brief.",
            "tools": [{"type": "code_execution"}], "generation_config": {"temperature": 1},
            "response_format": {"type": "array"}, "response_modalities": ["text"],
            "service_tier": "flex", "agent": null, "cached_content": null,
        });
        let Create { request, stream } = read(every).expect("it is valid");
        assert!(stream && !request.background);
        assert_eq!(request.persistence, Persistence::Ephemeral);
        assert_eq!(request.model, "gemini-x");
        assert_eq!(request.previous_interaction_id.as_deref(), Some("v1_x"));
        assert_eq!(request.system_instruction.as_deref(), Some("Be brief."));
    }

    #[test]
    fn vertex_has_fields_of_its_own() {
        let body = json!({
            "model": "projects/p/locations/l/publishers/google/models/m", "input": "hello",
            "labels": {"team": "a"}, "safety_settings": [{"category": "c"}],
        });
        let vertex = Dialect::Vertex(Default::default());
        assert_eq!(create(body.clone(), &vertex).expect("it is valid").request.model, "m");
        create(body, &Dialect::Gemini).expect_err("'labels' is of Vertex AI");
    }

    #[test]
    fn an_unsupported_field_is_rejected_by_name() {
        for (change, wanted) in [
            (json!({"model": null}), "Missing required parameter 'model'."),
            (json!({"model": "models/"}), "Invalid value for 'model': must not be empty."),
            (
                json!({"model": "m".repeat(1001)}),
                "Invalid value for 'model': must not be longer than 1000 bytes.",
            ),
            (json!({"model": 7}), "Invalid type for 'model'"),
            (json!({"input": null}), "Missing input."),
            (json!({"input": ""}), "Request has empty input."),
            (json!({"agent": "a"}), "Agents are not supported"),
            (json!({"environment": "remote"}), "Environments are not supported"),
            (json!({"background": true, "store": false}), "'background' needs 'store'"),
            (json!({"labels": {}}), "'labels' is not supported"),
            (json!({"safety_settings": []}), "'safety_settings' is not supported"),
            (json!({"cached_content": "c"}), "'cached_content' is not supported"),
            (json!({"webhook_config": {}}), "Webhooks are not supported"),
            (json!({"continuation_token": "c"}), "Continuation tokens are not supported"),
            (
                json!({"response_mime_type": "text/plain"}),
                "legacy Interactions API schema is no longer supported",
            ),
            (json!({"outputs": []}), "legacy Interactions API schema is no longer supported"),
            (json!({"agent_config": {"type": "dynamic"}}), "Agents are not supported"),
            (
                json!({"response_modalities": ["TEXT"]}),
                "Invalid value for 'response_modalities[0]'",
            ),
            (json!({"response_format": "json"}), "Invalid type for 'response_format'"),
            (json!({"service_tier": "gold"}), "Invalid value for 'service_tier'"),
            (
                json!({"stream": "yes"}),
                "Invalid type for 'stream': expected a boolean, got a string.",
            ),
            (json!({"systemInstruction": "x"}), "Unknown parameter 'systemInstruction'."),
            (json!({"contents": []}), "Unknown parameter 'contents'."),
        ] {
            let error = read(change.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{change} gave {error}");
        }
        let error = create(json!([]), &Dialect::Gemini).expect_err("it is rejected").to_string();
        assert_eq!(error, "The request body must be an object, got a list.");
    }
}
