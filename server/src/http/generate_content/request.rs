//! The bodies of `:generateContent` and `:countTokens`.

use serde_json::Value;

use super::config::{self, AnswerConfig};
use super::history::Signatures;
use super::prefix::{self, CachedPrefix};
use super::{content, generation, history, tool};
use crate::engine::Request;
use crate::http::vertex::Dialect;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;
use domain::interaction::{GenerationConfig, ServiceTier, Step, Tokens};
use store::{Owner, Persistence};

/// A request for an answer, and its options.
#[derive(Debug)]
pub struct Generate {
    pub request: Request,
    /// Whether the client requests thought summaries.
    pub thoughts: bool,
    /// The part of the prompt that came from a cached content.
    pub cached: Tokens,
    /// Whether the client wants the calls and results of the server's tools.
    pub invocations: bool,
}

/// ObjectReader of Google's API that this server rejects, each with its error message.
pub const REFUSED: &[(&str, &str)] =
    &[("continuationToken", "Continuation tokens are not supported by this server.")];

/// Fields of Vertex AI alone.
pub const OF_VERTEX: &[(&str, &str)] =
    &[("modelArmorConfig", "'modelArmorConfig' is not supported by the Gemini API.")];

/// Parses a request for the model in the URL.
///
/// `own` means that the model checks its thought signatures itself. `cached` is the cached content that
/// the request names.
pub fn generate(
    model: &str,
    body: Value,
    own: bool,
    cached: Option<CachedPrefix>,
    dialect: &Dialect,
) -> Result<Generate, WireError> {
    let signatures = if own { Signatures::Optional } else { Signatures::of_model(model) };
    read(model, Node::root(body).object()?.camel()?, Some(signatures), cached, dialect)
}

/// The contents to count: a list of contents, or a whole request. In the dialect of Vertex AI the
/// body itself is that request.
pub fn count(
    model: &str,
    body: Value,
    cached: Option<CachedPrefix>,
    dialect: &Dialect,
) -> Result<Request, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    if dialect.is_vertex() {
        return Ok(read(model, fields, None, cached, dialect)?.request);
    }
    let whole = fields.take("generateContentRequest");
    if whole.is_some() && fields.has("contents") {
        let why = "'contents' and 'generateContentRequest' exclude each other.";
        return Err(WireError::Whole(why.to_owned()));
    }
    if let Some(whole) = whole {
        fields.done()?;
        // Clients also count parts of conversations, so their order is not validated.
        return Ok(read(model, whole.object()?.camel()?, None, cached, dialect)?.request);
    }
    let input = content::contents(fields.take("contents"))?;
    fields.string("model")?;
    fields.done()?;
    Ok(of_model(model, input))
}

fn read(
    model: &str,
    mut fields: ObjectReader,
    signatures: Option<Signatures>,
    cached: Option<CachedPrefix>,
    dialect: &Dialect,
) -> Result<Generate, WireError> {
    if dialect.is_vertex() {
        // Headers select the kind of traffic there.
        if fields.has("serviceTier") {
            return Err(WireError::Unknown(fields.path_of("serviceTier")));
        }
        // No prompt is checked.
        OF_VERTEX.iter().try_for_each(|(name, _)| fields.object(name).map(drop))?;
    }
    if let Some((_, why)) = REFUSED.iter().find(|(name, _)| fields.has(name)) {
        return Err(WireError::Absent((*why).to_owned()));
    }
    if let Some((_, why)) = OF_VERTEX.iter().find(|(name, _)| fields.has(name)) {
        return Err(WireError::Whole((*why).to_owned()));
    }
    if fields.string("cachedContent")?.is_some() {
        prefix::excludes(&fields, &["systemInstruction", "tools", "toolConfig"], dialect)?;
    }
    let cached = cached.unwrap_or_default();
    let mut turns = cached.turns;
    turns.extend(content::turns(fields.take("contents"))?);
    let instruction = fields.take("systemInstruction").map(content::instruction).transpose()?;
    let offer = tool::offer(fields.take("tools"), fields.take("toolConfig"), dialect)?;
    // At most one of both is set.
    let instruction = instruction.or(cached.instruction);
    let offer = if offer.is_empty() { cached.offer } else { offer };
    let config = fields.take("generationConfig").map(config::config).transpose()?;
    let AnswerConfig { mut generation, thoughts } = config.unwrap_or_default();
    generation::check(model, &offer, &generation)?;
    if let Some(choice) = offer.choice {
        generation["tool_choice"] = choice;
    }
    let service_tier = fields.take("serviceTier").map(tier).transpose()?.unwrap_or_default();
    ignored(&mut fields)?;
    fields.done()?;
    if let Some(signatures) = signatures {
        history::check(&mut turns, signatures)?;
    }
    let input = content::steps(turns)?;
    let invocations = offer.invocations;
    let request = Request {
        service_tier,
        system_instruction: instruction.filter(|text| !text.is_empty()),
        tools: offer.tools,
        generation_config: generation.into(),
        ..of_model(model, input)
    };
    Ok(Generate { request, thoughts, cached: cached.tokens, invocations })
}

/// A request that has nothing but its input.
pub fn of_model(model: &str, input: Vec<Step>) -> Request {
    Request {
        model: model.to_owned(),
        input,
        previous_interaction_id: None,
        system_instruction: None,
        tools: Default::default(),
        generation_config: GenerationConfig::default(),
        persistence: Persistence::Ephemeral,
        background: false,
        service_tier: ServiceTier::default(),
        // Set from the request's key; the body cannot set it.
        owner: Owner::default(),
        keys: Default::default(),
    }
}

/// Accepts both cases, as the SDKs' own enums do, and the full name. Only the response's
/// `serviceTier` depends on it.
fn tier(node: Node) -> Result<ServiceTier, WireError> {
    let name = proto::SERVICE_TIER.word(node.clone())?.to_lowercase();
    let word = name.strip_prefix("service_tier_").unwrap_or(&name);
    if word == "unspecified" {
        return Ok(ServiceTier::default());
    }
    let tier = word.parse().ok().filter(|tier: &ServiceTier| *tier != ServiceTier::Deferred);
    tier.ok_or_else(|| node.wrong(format!("'{word}' is not one of flex, standard, priority")))
}

/// ObjectReader that are validated like Google's, and then ignored.
fn ignored(fields: &mut ObjectReader) -> Result<(), WireError> {
    // Some clients repeat the model of the URL.
    fields.string("model")?;
    // Whether Google keeps the request.
    fields.boolean("store")?;
    // For billing. Google's own tests send them here, contrary to its documentation.
    fields.object("labels")?;
    safety_settings(fields)
}

/// This server blocks nothing.
pub fn safety_settings(fields: &mut ObjectReader) -> Result<(), WireError> {
    for node in fields.take("safetySettings").map(Node::list).transpose()?.unwrap_or_default() {
        let mut setting = node.object()?.camel()?;
        proto::HARM_CATEGORY.word(setting.require("category")?)?;
        proto::HARM_THRESHOLD.word(setting.require("threshold")?)?;
        setting.string("method")?;
        setting.done()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hello() -> Value {
        json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]})
    }

    fn with(change: Value) -> Result<Generate, String> {
        let mut body = hello();
        for (name, value) in change.as_object().expect("it is one") {
            body[name] = value.clone();
        }
        generate("m", body, false, None, &Dialect::Gemini).map_err(|error| error.to_string())
    }

    #[test]
    fn optional_fields_are_parsed() {
        let Generate { request, thoughts, .. } = with(json!({
            "system_instruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
            "tools": [{"codeExecution": {}}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
            "generationConfig": {"temperature": 1, "thinkingConfig": {"includeThoughts": true}},
            "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "model": "models/m", "serviceTier": "SERVICE_TIER_STANDARD", "cachedContent": null,
        }))
        .expect("it is valid");
        assert!(thoughts);
        assert_eq!(request.model, "m");
        assert_eq!(request.system_instruction.as_deref(), Some("Be brief.\nBe kind."));
        assert!(request.tools.code_execution);
        let config = json!({"temperature": 1, "thinking_summaries": "auto", "tool_choice": "any"});
        assert_eq!(*request.generation_config.as_json(), config);
        assert_eq!(request.persistence, Persistence::Ephemeral);
    }

    #[test]
    fn an_unsupported_field_is_rejected_by_name() {
        for (change, wanted) in [
            (json!({"contents": null}), "contents is not specified"),
            (json!({"cachedContent": 1}), "Invalid type for 'cachedContent'"),
            (json!({"continuation_token": "c"}), "Continuation tokens are not supported"),
            (json!({"labels": "a"}), "Invalid type for 'labels'"),
            (json!({"input": "x"}), "Unknown parameter 'input'."),
            (json!({"systemInstruction": "x"}), "Invalid type for 'systemInstruction'"),
            (
                json!({"systemInstruction": {"parts": [{"inlineData": {"data": ""}}]}}),
                "Invalid value for 'systemInstruction.parts[0]': an instruction must be text.",
            ),
            (json!({"safetySettings": [{}]}), "'safetySettings[0].category'"),
        ] {
            let error = with(change.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{change} gave {error}");
        }
    }

    #[test]
    fn vertex_has_fields_of_its_own() {
        let vertex = Dialect::Vertex(Default::default());
        let body = json!({
            "contents": hello()["contents"],
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "modelArmorConfig": {"promptTemplateName": "t"},
            "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}],
        });
        let read = generate("m", body.clone(), false, None, &vertex).expect("it is valid");
        assert_eq!(read.request.tools.offered, ["google_search", "f"]);
        let counted = count("m", body.clone(), None, &vertex).expect("it is valid");
        assert_eq!(counted.system_instruction.as_deref(), Some("Be brief."));
        let error =
            generate("m", body, false, None, &Dialect::Gemini).expect_err("it is of Vertex AI");
        assert!(error.to_string().contains("'modelArmorConfig' is not supported"), "{error}");
    }

    #[test]
    fn contents_or_a_whole_request_can_be_counted() {
        let counted =
            |body| count("m", body, None, &Dialect::Gemini).map_err(|error| error.to_string());
        assert_eq!(counted(hello()).expect("it is valid").input.len(), 1);
        let mut whole = hello();
        whole["systemInstruction"] = json!({"parts": {"text": "Be brief."}});
        let request = counted(json!({"generateContentRequest": whole})).expect("it is valid");
        assert_eq!(request.system_instruction.as_deref(), Some("Be brief."));

        let unknown = "Unknown parameter 'systemInstruction'.";
        assert_eq!(counted(whole).expect_err("it belongs elsewhere"), unknown);
        let mut both = hello();
        both["generateContentRequest"] = hello();
        assert!(counted(both).expect_err("one is too many").contains("exclude each other"));
    }
}
