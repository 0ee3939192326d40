//! `tools`.

use serde_json::Value;

use super::WireError;
use super::json_reader::{Node, ObjectReader};
use backend::{Function, Tools};

const CODE_EXECUTION: &str = "code_execution";
const GOOGLE_SEARCH: &str = "google_search";

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
            _ => {
                let why = format!("the tool '{kind}' is not supported by this server");
                return Err(WireError::Absent(fields.wrong(why).to_string()));
            }
        }
    }
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
                json!([{"type": "google_maps"}]),
                "Invalid value for 'tools[0]': the tool 'google_maps' is not supported",
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
