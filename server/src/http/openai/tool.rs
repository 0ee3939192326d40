//! `tools` and `tool_choice`.

use serde_json::{Value, json};

use crate::http::generate_content::tool::OfferedTools;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::tool;
use backend::{Function, Tools};

const MODES: &[&str] = &["auto", "none", "required"];

pub fn offer(tools: Option<Node>, choice: Option<Node>) -> Result<OfferedTools, WireError> {
    let mut offered = Tools::default();
    for node in tools.map(Node::list).transpose()?.unwrap_or_default() {
        let mut fields = node.object()?;
        let kind = fields.require("type")?.string()?;
        if kind != "function" {
            // Google's own tools have no form in this API.
            return Err(WireError::Unknown(fields.path_of(&kind)));
        }
        tool::declare(&mut offered, function(fields.require("function")?.object()?)?)?;
        fields.done()?;
    }
    let choice = choice.map(choice_of).transpose()?.flatten();
    Ok(OfferedTools { tools: offered, choice, invocations: false })
}

fn function(mut fields: ObjectReader) -> Result<Function, WireError> {
    let function = Function {
        name: tool::name(fields.require("name")?)?,
        description: fields.string("description")?,
        parameters: fields.object("parameters")?,
    };
    // Whether arguments match the schema is up to the model.
    fields.boolean("strict")?;
    fields.done()?;
    Ok(function)
}

/// The choice in the format of the interactions API.
fn choice_of(node: Node) -> Result<Option<Value>, WireError> {
    if node.value().is_string() {
        return Ok(match node.one_of(MODES)?.as_str() {
            "none" => Some("none".into()),
            "required" => Some("any".into()),
            _ => None,
        });
    }
    let mut fields = node.object()?;
    fields.require("type")?.one_of(&["function"])?;
    let mut function = fields.require("function")?.object()?;
    let name = function.require("name")?.string()?;
    function.done()?;
    fields.done()?;
    Ok(Some(json!({"allowed_tools": {"mode": "any", "tools": [name]}})))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tools: Value, choice: Value) -> Result<OfferedTools, String> {
        let mut body =
            Node::root(json!({"tools": tools, "tool_choice": choice})).object().expect("it is one");
        offer(body.take("tools"), body.take("tool_choice")).map_err(|error| error.to_string())
    }

    #[test]
    fn functions_are_offered_and_chosen() {
        let schema = json!({"type": "object"});
        let tools = json!([{"type": "function", "function": {
            "name": "f", "description": "d", "parameters": schema, "strict": true}}]);
        for (choice, wanted) in [
            (json!(null), None),
            (json!("auto"), None),
            (json!("none"), Some(json!("none"))),
            (json!("required"), Some(json!("any"))),
            (
                json!({"type": "function", "function": {"name": "f"}}),
                Some(json!({"allowed_tools": {"mode": "any", "tools": ["f"]}})),
            ),
        ] {
            let offer = read(tools.clone(), choice.clone()).expect("it is valid");
            assert_eq!(offer.choice, wanted, "{choice}");
            assert_eq!(offer.tools.functions[0].parameters, Some(schema.clone()));
        }
    }

    #[test]
    fn an_invalid_tool_is_named_with_its_path() {
        for (tools, choice, wanted) in [
            (json!([{"type": "google_search"}]), json!(null), "'tools[0].google_search'"),
            (json!([{"type": "code_execution"}]), json!(null), "'tools[0].code_execution'"),
            (json!([{"function": {"name": "f"}}]), json!(null), "'tools[0].type'"),
            (json!([{"type": "function"}]), json!(null), "'tools[0].function'"),
            (json!([]), json!("any"), "'any' is not one of auto, none, required"),
            (json!([]), json!({"type": "function"}), "'tool_choice.function'"),
        ] {
            let error = read(tools.clone(), choice).expect_err("it is rejected");
            assert!(error.contains(wanted), "{tools} gave {error}");
        }
    }
}
