//! `tools` and `toolConfig`.

mod built_in;

use serde_json::{Map, Value, json};

use super::content::one_or_many;
use super::schema::json_schema;
use crate::http::vertex::Dialect;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;
use crate::http::wire::tool;
use backend::{BuiltIn, Function, Tools};

/// Message of the real service, and its rule.
const MIXED: &str = "Please enable tool_config.include_server_side_tool_invocations to use Built-in \
                     tools with Function calling.";

/// Google's tools that this server does not have.
pub const ABSENT: &[&str] = &[
    "enterpriseWebSearch",
    "exaAiSearch",
    "googleSearchRetrieval",
    "parallelAiSearch",
    "retrieval",
];

/// The tools of a request.
#[derive(Debug, Default)]
pub struct OfferedTools {
    pub tools: Tools,
    /// Which tools the model must use, in the format of the interactions API.
    pub choice: Option<Value>,
    /// Whether the answer has parts for the calls and results of the server's tools.
    pub invocations: bool,
}

impl OfferedTools {
    pub fn is_empty(&self) -> bool {
        self.tools.offered.is_empty() && self.choice.is_none()
    }
}

pub fn offer(
    tools: Option<Node>,
    config: Option<Node>,
    dialect: &Dialect,
) -> Result<OfferedTools, WireError> {
    let mut tools = tools.map(|node| read(node, dialect)).transpose()?.unwrap_or_default();
    let config = config.map(|node| settings(node, &mut tools)).transpose()?.unwrap_or_default();
    // Vertex AI searches beside functions without the flag.
    let searches = tools.google_search || tools.built_in.iter().any(BuiltIn::has_invocations);
    let built_in = tools.code_execution || searches && !dialect.is_vertex();
    if built_in && !tools.functions.is_empty() && !config.invocations {
        return Err(WireError::Whole(MIXED.to_owned()));
    }
    Ok(OfferedTools { tools, choice: config.choice, invocations: config.invocations })
}

fn read(node: Node, dialect: &Dialect) -> Result<Tools, WireError> {
    let mut tools = Tools::default();
    for node in one_or_many(node)? {
        let is_empty = node.value().as_object().is_some_and(Map::is_empty);
        if is_empty && dialect.is_vertex() {
            return Err(node.wrong("a tool must not be empty"));
        }
        let mut fields = node.object()?.camel()?;
        if let Some(absent) = ABSENT.iter().find(|name| fields.has(name)) {
            let why = format!("the tool '{absent}' is not supported by this server");
            return Err(WireError::Absent(fields.wrong(why).to_string()));
        }
        if let Some(node) = fields.take("codeExecution") {
            node.object()?.done()?;
            tool::offer_code_execution(&mut tools);
        }
        if let Some(node) = fields.take("googleSearch") {
            google_search(node)?;
            tool::offer_google_search(&mut tools);
        }
        built_in::take(&mut fields, &mut tools)?;
        if let Some(node) = fields.take("functionDeclarations") {
            for node in one_or_many(node)? {
                tool::declare(&mut tools, function(node.object()?.camel()?)?)?;
            }
        }
        fields.done()?;
    }
    tool::built_in::check(&tools)?;
    Ok(tools)
}

/// How Google searches has no effect here.
fn google_search(node: Node) -> Result<(), WireError> {
    let mut fields = node.object()?.camel()?;
    fields.object("searchTypes")?;
    fields.object("timeRangeFilter")?;
    fields.done()
}

fn function(mut fields: ObjectReader) -> Result<Function, WireError> {
    let name = tool::name(fields.require("name")?)?;
    let description = fields.string("description")?;
    let parameters = match (fields.object("parameters")?, fields.take("parametersJsonSchema")) {
        (Some(_), Some(_)) => {
            return Err(fields.wrong("has both 'parameters' and 'parametersJsonSchema'"));
        }
        (Some(schema), None) => Some(json_schema(schema)),
        (None, Some(schema)) => Some(schema.into_value()),
        (None, None) => None,
    };
    // Responses are not validated, and functions do not run beside the model's turn.
    for name in ["response", "responseJsonSchema"] {
        fields.take(name);
    }
    fields.take("behavior").map(|node| proto::BEHAVIOR.word(node)).transpose()?;
    fields.done()?;
    Ok(Function { name, description, parameters })
}

/// Parsed `toolConfig`.
#[derive(Debug, Default)]
struct ToolConfig {
    choice: Option<Value>,
    /// Whether the client can handle the server's tools beside its own functions.
    invocations: bool,
}

fn settings(node: Node, tools: &mut Tools) -> Result<ToolConfig, WireError> {
    let mut fields = node.object()?.camel()?;
    let invocations = fields.boolean("includeServerSideToolInvocations")?.unwrap_or(false);
    let choice = fields.take("functionCallingConfig").map(choice).transpose()?.flatten();
    fields.take("retrievalConfig").map(|node| built_in::locate(node, tools)).transpose()?;
    fields.done()?;
    Ok(ToolConfig { choice, invocations })
}

fn choice(node: Node) -> Result<Option<Value>, WireError> {
    let mut fields = node.object()?.camel()?;
    let mode = match fields.take("mode") {
        Some(mode) => proto::FUNCTION_CALLING_MODE.one_of(mode, &[])?,
        None => proto::FUNCTION_CALLING_MODE.unspecified().to_owned(),
    };
    let mut names = Vec::new();
    for name in fields.take("allowedFunctionNames").map(Node::list).transpose()?.unwrap_or_default()
    {
        names.push(name.string()?);
    }
    fields.boolean("streamFunctionCallArguments")?;
    fields.done()?;
    let mode = if mode == "MODE_UNSPECIFIED" { "auto".to_owned() } else { mode.to_lowercase() };
    Ok(match (mode.as_str(), names.is_empty()) {
        ("auto", true) => None,
        (_, true) => Some(mode.into()),
        (_, false) => Some(json!({"allowed_tools": {"mode": mode, "tools": names}})),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tools: Value, config: Value) -> Result<OfferedTools, String> {
        let body = json!({"tools": tools, "toolConfig": config});
        let mut body = Node::root(body).object().expect("it is one");
        offer(body.take("tools"), body.take("toolConfig"), &Dialect::Gemini)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn tools_may_be_in_one_or_several_objects_and_in_both_spellings() {
        let config = json!({"includeServerSideToolInvocations": true});
        for tools in [
            json!([{"codeExecution": {}}, {"functionDeclarations": [{"name": "f"}]}]),
            json!([{"code_execution": {}, "function_declarations": [{"name": "f"}]}]),
            json!({"codeExecution": {}, "functionDeclarations": {"name": "f"}}),
        ] {
            let offer = read(tools, config.clone()).expect("it is valid");
            assert!(offer.tools.code_execution);
            assert_eq!(offer.tools.offered, ["code_execution", "f"]);
            assert_eq!(offer.choice, None);
        }
        assert!(read(json!(null), json!({})).expect("it is valid").tools.offered.is_empty());
    }

    #[test]
    fn built_in_tools_with_functions_need_the_flag() {
        let tools = json!([{"codeExecution": {}}, {"functionDeclarations": [{"name": "f"}]}]);
        for config in
            [json!(null), json!({}), json!({"include_server_side_tool_invocations": false})]
        {
            assert_eq!(read(tools.clone(), config).expect_err("it is rejected"), MIXED);
        }
        read(tools, json!({"include_server_side_tool_invocations": true})).expect("it is set");
    }

    #[test]
    fn google_search_is_a_built_in_tool() {
        for tool in [json!({"google_search": {}}), json!({"googleSearch": {"searchTypes": {}}})] {
            let offer =
                read(json!([tool, {"codeExecution": {}}]), json!(null)).expect("it is valid");
            assert!(offer.tools.google_search && offer.tools.code_execution);
            assert_eq!(offer.tools.offered, ["google_search", "code_execution"]);
        }
        let tools = json!([{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]);
        assert_eq!(read(tools, json!(null)).expect_err("it is rejected"), MIXED);
    }

    #[test]
    fn built_in_tools_have_the_declarations_of_the_interactions_api() {
        let tools = json!([
            {"urlContext": {}, "googleMaps": {"enable_widget": true}},
            {"computerUse": {"environment": "ENVIRONMENT_MOBILE",
                             "disabledSafetyPolicies": ["DATA_MODIFICATION"]}},
            {"mcpServers": [{"name": "m", "streamable_http_transport": {
                "url": "http://h/mcp", "headers": {"a": "b"}, "timeout": "5s"}}]},
        ]);
        let place = json!({"retrievalConfig": {"latLng": {"latitude": 48.4, "longitude": "10"}}});
        let offer = read(tools.clone(), place).expect("it is valid");
        assert_eq!(
            json!(offer.tools.built_in),
            json!([
                {"type": "url_context"},
                {"type": "google_maps", "latitude": 48.4, "longitude": 10.0, "enable_widget": true},
                {"type": "computer_use", "environment": "mobile",
                 "disabled_safety_policies": ["data_modification"]},
                {"type": "mcp_server", "name": "m", "url": "http://h/mcp", "headers": {"a": "b"}},
            ])
        );
        let stores = json!([{"fileSearch": {"file_search_store_names": ["fileSearchStores/s"],
                                           "topK": "3", "metadataFilter": "a = 1"}}]);
        let offer = read(stores.clone(), json!(null)).expect("it is valid");
        assert_eq!(offer.tools.offered, ["file_search"]);
        let both = json!([stores[0], {"googleSearch": {}}]);
        let error = read(both, json!(null)).expect_err("it is rejected");
        assert!(error.contains("'file_search' cannot be combined"), "{error}");
        for (tool, wanted) in [
            (json!({"urlContext": {}}), Some(MIXED)),
            (stores[0].clone(), Some(MIXED)),
            // Its functions are called like the client's own.
            (json!({"computerUse": {}}), None),
        ] {
            let tools = json!([tool, {"functionDeclarations": [{"name": "f"}]}]);
            assert_eq!(read(tools, json!(null)).err().as_deref(), wanted);
        }
    }

    #[test]
    fn both_kinds_of_parameters_become_json_schema() {
        let schema = json!({"type": "object"});
        for function in [
            json!({"name": "f", "parameters": {"type": "OBJECT"}}),
            json!({"name": "f", "parametersJsonSchema": schema}),
        ] {
            let offer = read(json!([{"functionDeclarations": [function]}]), json!(null));
            let parameters = offer.expect("it is valid").tools.functions[0].parameters.clone();
            assert_eq!(parameters, Some(schema.clone()));
        }
    }

    #[test]
    fn a_choice_is_converted_to_the_interactions_api() {
        for (config, wanted) in [
            (json!({"mode": "AUTO"}), None),
            (json!({"mode": "MODE_UNSPECIFIED"}), None),
            (json!({"mode": "NONE"}), Some(json!("none"))),
            (
                json!({"mode": "ANY", "allowedFunctionNames": ["f"]}),
                Some(json!({"allowed_tools": {"mode": "any", "tools": ["f"]}})),
            ),
        ] {
            let offer = read(json!([]), json!({"functionCallingConfig": config}));
            assert_eq!(offer.expect("it is valid").choice, wanted, "{config}");
        }
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (tools, wanted) in [
            (
                json!([{"retrieval": {}}]),
                "Invalid value for 'tools[0]': the tool 'retrieval' is not supported",
            ),
            (json!([{"type": "code_execution"}]), "Unknown parameter 'tools[0].type'."),
            (json!([{"googleSearch": {"x": 1}}]), "Unknown parameter 'tools[0].googleSearch.x'."),
            (json!([{"codeExecution": {"x": 1}}]), "Unknown parameter 'tools[0].codeExecution.x'."),
            (json!([{"functionDeclarations": [{}]}]), "'tools[0].functionDeclarations[0].name'"),
            (
                json!([{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]),
                "Function 'f' is declared twice.",
            ),
            (
                json!([{"functionDeclarations": [
                    {"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}]),
                "has both",
            ),
        ] {
            let error = read(tools.clone(), json!(null)).expect_err("it is rejected");
            assert!(error.contains(wanted), "{tools} gave {error}");
        }
        let error = read(json!([]), json!({"functionCallingConfig": {"mode": "any"}}));
        assert!(
            error
                .expect_err("it is rejected")
                .contains("'any' is not one of MODE_UNSPECIFIED, AUTO, ANY")
        );
    }
}
