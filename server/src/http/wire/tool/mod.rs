//! `tools`.

pub mod built_in;

use serde_json::Value;

use super::WireError;
use super::json_reader::{Node, ObjectReader};
use backend::{BuiltIn, Function, Tools};

const CODE_EXECUTION: &str = "code_execution";
const GOOGLE_SEARCH: &str = "google_search";

/// Who searches for functions.
pub const EXECUTIONS: [&str; 2] = ["server", "client"];

/// Maximum length of a function's name, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// Maximum number of functions in a request, as in the real service.
const MAX_FUNCTIONS: usize = 128;

pub fn tools(node: Node) -> Result<Tools, WireError> {
    let mut tools = Tools::default();
    for node in node.list()? {
        let mut fields = node.object()?;
        let kind = kind(&mut fields)?;
        match kind.as_str() {
            CODE_EXECUTION => {
                fields.done()?;
                offer_code_execution(&mut tools);
            }
            GOOGLE_SEARCH => {
                fields.take("search_types");
                fields.done()?;
                offer_google_search(&mut tools);
            }
            "function" => declare(&mut tools, function(fields)?)?,
            "tool_search" => tool_search(&mut tools, fields)?,
            _ => {
                let why = format!("the tool '{kind}' is not supported by this server");
                let absent = WireError::Absent(fields.wrong(why).to_string());
                built_in::offer(&mut tools, built_in::read(&kind, fields)?.ok_or(absent)?)?;
            }
        }
    }
    built_in::check(&tools)?;
    Ok(tools)
}

/// The type of `{"type": "code_execution"}`, or of `{"code_execution": {}}`, the form of
/// `generateContent`, which some clients use here too.
fn kind(fields: &mut ObjectReader) -> Result<String, WireError> {
    for classic in [CODE_EXECUTION, "codeExecution"] {
        if !fields.has("type") && fields.has(classic) {
            let node = fields.require(classic)?;
            node.object()?.done()?;
            return Ok(CODE_EXECUTION.to_owned());
        }
    }
    fields.require("type")?.string()
}

fn function(mut fields: ObjectReader) -> Result<Function, WireError> {
    let function = Function {
        name: name(fields.require("name")?)?,
        description: fields.string("description")?,
        parameters: fields.object("parameters")?,
    };
    // For services that choose among many functions. Accepted and ignored.
    fields.string("short_description")?;
    fields.boolean("defer_loading")?;
    fields.done()?;
    Ok(function)
}

/// A search for functions: by the server, or by a function of the client.
fn tool_search(tools: &mut Tools, mut fields: ObjectReader) -> Result<(), WireError> {
    let execution = fields.take("execution").map(|node| node.one_of(&EXECUTIONS)).transpose()?;
    if execution.as_deref() == Some("client") {
        return declare(tools, function(fields)?);
    }
    // Of a search by the client.
    for name in ["name", "description"] {
        fields.string(name)?;
    }
    fields.object("parameters")?;
    fields.done()?;
    built_in::offer(tools, BuiltIn::ToolSearch)
}

/// Parses a function's name.
pub fn name(node: Node) -> Result<String, WireError> {
    let Value::String(name) = node.value() else {
        return Err(node.not("a string"));
    };
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
        && name.len() <= MAX_NAME_BYTES;
    if is_name {
        return node.string();
    }
    Err(node.wrong(format!(
        "a function name must begin with a letter or '_', continue with letters, digits, '_', '.', ':' \
         or '-', and have at most {MAX_NAME_BYTES} characters"
    )))
}

pub fn offer_code_execution(tools: &mut Tools) {
    tools.code_execution = true;
    offer(tools, CODE_EXECUTION);
}

pub fn offer_google_search(tools: &mut Tools) {
    tools.google_search = true;
    offer(tools, GOOGLE_SEARCH);
}

pub fn declare(tools: &mut Tools, function: Function) -> Result<(), WireError> {
    if tools.functions.len() >= MAX_FUNCTIONS {
        let why = format!("At most {MAX_FUNCTIONS} functions can be declared in one request.");
        return Err(WireError::Whole(why));
    }
    if tools.functions.iter().any(|other| other.name == function.name) {
        let why = format!("Function '{}' is declared twice.", function.name);
        return Err(WireError::Whole(why));
    }
    offer(tools, &function.name);
    tools.functions.push(function);
    Ok(())
}

fn offer(tools: &mut Tools, name: &str) {
    if !tools.offered.iter().any(|offered| offered == name) {
        tools.offered.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<Tools, String> {
        let body = Node::root(json!({"tools": json}));
        let node = body.object().expect("it is one").require("tools").expect("it is there");
        tools(node).map_err(|error| error.to_string())
    }

    #[test]
    fn code_execution_may_be_requested_in_both_forms() {
        for tool in [
            json!({"type": "code_execution"}),
            json!({"code_execution": {}}),
            json!({"codeExecution": {}}),
        ] {
            let tools = read(json!([tool])).expect("it is valid");
            assert!(tools.code_execution);
            assert_eq!(tools.offered, ["code_execution"]);
        }
    }

    #[test]
    fn built_in_tools_are_offered_by_their_types() {
        let tools = read(json!([
            {"type": "url_context"}, {"type": "url_context"},
            {"type": "google_maps", "latitude": 48.4, "longitude": 10, "enable_widget": true},
            {"type": "mcp_server", "name": "m", "url": "http://h/mcp", "headers": {"a": "b"},
             "allowed_tools": [{"mode": "auto", "tools": ["t"]}], "defer_loading": true},
            {"type": "mcp_server", "name": "n", "url": "https://h/mcp"},
            {"type": "computer_use", "environment": "browser"},
            {"type": "tool_search"},
            {"type": "tool_search", "execution": "client", "name": "find", "description": "d"},
        ]));
        let tools = tools.expect("it is valid");
        let wanted =
            ["url_context", "google_maps", "mcp_server", "computer_use", "tool_search", "find"];
        assert_eq!(tools.offered, wanted);
        assert_eq!((tools.built_in.len(), tools.functions.len()), (6, 1));
        assert!(tools.has_predefined("click_at") && !tools.has_predefined("find"));
    }

    #[test]
    fn a_function_is_offered_by_its_name() {
        let weather = json!({"type": "function", "name": "weather", "description": "d",
                             "parameters": {"type": "object"}});
        let tools = read(json!([weather, {"type": "code_execution"}])).expect("it is valid");
        assert_eq!(tools.offered, ["weather", "code_execution"]);
        assert_eq!(tools.functions[0].parameters, Some(json!({"type": "object"})));
    }

    #[test]
    fn the_number_of_functions_is_limited() {
        let function = |number| json!({"type": "function", "name": format!("f{number}")});
        let all = |count: usize| Value::Array((0..count).map(function).collect());
        assert_eq!(
            read(all(MAX_FUNCTIONS)).expect("this many are allowed").offered.len(),
            MAX_FUNCTIONS
        );
        let error = read(all(MAX_FUNCTIONS + 1)).expect_err("it is one too many");
        assert!(error.contains("At most 128 functions"), "{error}");
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (tools, wanted) in [
            (
                json!([{"type": "retrieval"}]),
                "Invalid value for 'tools[0]': the tool 'retrieval' is not supported",
            ),
            (json!([{"type": "url_context", "urls": []}]), "Unknown parameter 'tools[0].urls'."),
            (json!([{"type": "google_maps", "latitude": 91}]), "'tools[0].latitude': must be"),
            (
                json!([{"type": "file_search", "file_search_store_names": []}]),
                "'tools[0].file_search_store_names': must name 1 to 10 stores.",
            ),
            (
                json!([{"type": "file_search", "file_search_store_names": ["s"]}]),
                "'tools[0].file_search_store_names[0]': expected the name of a store",
            ),
            (
                json!([{"type": "file_search", "file_search_store_names": ["fileSearchStores/s"],
                        "top_k": 0}]),
                "'tools[0].top_k': must be between 1 and 100.",
            ),
            (
                json!([{"type": "mcp_server", "name": "a-b", "url": "http://h/"}]),
                "'tools[0].name': the name of an MCP server must not have a '-'.",
            ),
            (
                json!([{"type": "mcp_server", "name": "m", "url": "file:///m"}]),
                "'tools[0].url': expected the URL of an MCP server.",
            ),
            (
                json!([{"type": "mcp_server", "name": "m", "url": "http://h/", "headers": {"a": 1}}]),
                "'tools[0].headers': every header must be a string.",
            ),
            (
                json!([{"type": "computer_use", "environment": "toaster"}]),
                "'toaster' is not one of browser, mobile, desktop",
            ),
            (json!([{"type": "tool_search", "execution": "client"}]), "'tools[0].name'"),
            (
                json!([{"type": "computer_use"}, {"type": "computer_use", "environment": "mobile"}]),
                "The tool 'computer_use' is declared twice, in different ways.",
            ),
            (
                json!([{"type": "mcp_server", "name": "m", "url": "http://h/"},
                       {"type": "mcp_server", "name": "m", "url": "http://i/"}]),
                "MCP server 'm' is declared twice.",
            ),
            (
                json!([{"type": "url_context"},
                       {"type": "file_search", "file_search_store_names": ["fileSearchStores/s"]}]),
                "The tool 'file_search' cannot be combined with",
            ),
            (json!([{"type": "code_execution", "x": 1}]), "Unknown parameter 'tools[0].x'."),
            (json!([{"type": "function"}]), "Missing required parameter 'tools[0].name'."),
            (json!([{"type": "function", "name": "a b"}]), "Invalid value for 'tools[0].name'"),
            (json!([{}]), "Missing required parameter 'tools[0].type'."),
            (
                json!({"type": "code_execution"}),
                "Invalid type for 'tools': expected a list, got an object.",
            ),
            (
                json!([{"type": "function", "name": "a"}, {"type": "function", "name": "a"}]),
                "Function 'a' is declared twice.",
            ),
        ] {
            let error = read(tools.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{tools} gave {error}");
        }
    }
}
