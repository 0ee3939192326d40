//! The tools, as clients list them, and their arguments.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};

/// A call of a tool.
#[derive(Debug, PartialEq)]
pub enum ToolCall {
    RunPython { code: String, timeout: Option<Duration> },
    ListFiles,
    ReadFile { path: String },
    WriteFile { path: String, content: ContentArgument },
    Reset,
}

/// The content of a file in arguments.
#[derive(Debug, PartialEq)]
pub enum ContentArgument {
    Text(String),
    Base64(String),
}

/// Why the arguments of a tool are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error("unknown tool {0}")]
    UnknownTool(String),
    #[error("invalid arguments: {0}")]
    Invalid(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunPythonArguments {
    code: String,
    timeout_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PathArguments {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteFileArguments {
    path: String,
    text: Option<String>,
    base64: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArguments {}

/// All tools.
pub fn list() -> Vec<Tool> {
    let path = || json!({"type": "string", "description": "Relative to the work directory."});
    vec![
        tool(
            "run_python",
            "Runs Python code. Variables, imports and files are kept for later calls. Returns what the code \
             prints, its traceback, and the figures that it shows. The value of the last expression is not \
             returned: print it. There is no network.",
            json!({
                "code": {"type": "string"},
                "timeout_s": {"type": "number", "exclusiveMinimum": 0,
                              "description": "Time limit in seconds, below that of the server."},
            }),
            &["code"],
            ToolAnnotations::new().open_world(false),
        ),
        tool(
            "list_files",
            "Lists the files in the work directory of the code, with their sizes.",
            json!({}),
            &[],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
        tool(
            "read_file",
            "Returns a file from the work directory of the code.",
            json!({"path": path()}),
            &["path"],
            ToolAnnotations::new().read_only(true).open_world(false),
        ),
        tool(
            "write_file",
            "Writes a file to the work directory of the code, from text or from base64. Replaces an existing \
             one, and creates missing folders.",
            json!({"path": path(), "text": {"type": "string"}, "base64": {"type": "string"}}),
            &["path"],
            ToolAnnotations::new().idempotent(true).open_world(false),
        ),
        tool(
            "reset",
            "Discards all variables and files, and begins with a new interpreter.",
            json!({}),
            &[],
            ToolAnnotations::new().idempotent(true).open_world(false),
        ),
    ]
}

/// Each tool takes the session, for clients without one of their own.
fn tool(
    name: &'static str,
    description: &'static str,
    mut properties: Value,
    required: &[&str],
    annotations: ToolAnnotations,
) -> Tool {
    properties["session"] = json!({
        "type": "string",
        "description": "Id of a session of this server, instead of the one of this connection.",
    });
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    let schema = match schema {
        Value::Object(schema) => schema,
        _ => JsonObject::new(),
    };
    Tool::new(name, description, Arc::new(schema)).with_annotations(annotations)
}

/// Parses a call, and the session that it names.
pub fn parse(
    name: &str,
    arguments: Option<JsonObject>,
) -> Result<(ToolCall, Option<String>), ArgumentError> {
    let mut arguments = arguments.unwrap_or_default();
    // Some clients send `null` for what they leave out.
    arguments.retain(|_, value| !value.is_null());
    let session = match arguments.remove("session") {
        None => None,
        Some(Value::String(session)) => Some(session),
        Some(_) => return Err(ArgumentError::Invalid("session must be a string".to_owned())),
    };
    let arguments = Value::Object(arguments);
    let call = match name {
        "run_python" => {
            let RunPythonArguments { code, timeout_s } = read(arguments)?;
            ToolCall::RunPython { code, timeout: timeout_s.map(seconds).transpose()? }
        }
        "list_files" => read(arguments).map(|NoArguments {}| ToolCall::ListFiles)?,
        "read_file" => read(arguments).map(|PathArguments { path }| ToolCall::ReadFile { path })?,
        "write_file" => {
            let WriteFileArguments { path, text, base64 } = read(arguments)?;
            let content = match (text, base64) {
                (Some(text), None) => ContentArgument::Text(text),
                (None, Some(base64)) => ContentArgument::Base64(base64),
                _ => return Err(ArgumentError::Invalid("text or base64 is needed".to_owned())),
            };
            ToolCall::WriteFile { path, content }
        }
        "reset" => read(arguments).map(|NoArguments {}| ToolCall::Reset)?,
        _ => return Err(ArgumentError::UnknownTool(name.to_owned())),
    };
    Ok((call, session))
}

fn read<T: for<'de> Deserialize<'de>>(arguments: Value) -> Result<T, ArgumentError> {
    serde_json::from_value(arguments).map_err(|error| ArgumentError::Invalid(error.to_string()))
}

fn seconds(seconds: f64) -> Result<Duration, ArgumentError> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => {
            let why = "timeout_s must be a number of seconds above 0";
            Err(ArgumentError::Invalid(why.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, arguments: Value) -> Result<(ToolCall, Option<String>), ArgumentError> {
        parse(name, arguments.as_object().cloned())
    }

    #[test]
    fn each_listed_tool_can_be_called_with_its_required_arguments() {
        let tools = list();
        assert_eq!(tools.len(), 5);
        for tool in tools {
            let required = tool.input_schema["required"].as_array().expect("a list").iter();
            let mut arguments: JsonObject = required
                .map(|name| (name.as_str().expect("text").to_owned(), json!("x")))
                .collect();
            if tool.name == "write_file" {
                arguments.insert("text".to_owned(), json!("x"));
            }
            arguments.insert("session".to_owned(), json!("s"));
            let (_, session) = parse(&tool.name, Some(arguments)).expect("it is listed");
            assert_eq!(session.as_deref(), Some("s"), "{}", tool.name);
        }
    }

    #[test]
    fn wrong_arguments_are_refused_with_the_reason() {
        for (name, arguments, wanted) in [
            ("run", json!({}), "unknown tool run"),
            ("run_python", json!({}), "missing field `code`"),
            ("run_python", json!({"code": 1}), "invalid type"),
            ("run_python", json!({"code": "", "timeout_s": 0}), "above 0"),
            ("run_python", json!({"code": "", "timeout_s": -1e300}), "above 0"),
            ("run_python", json!({"code": "", "x": 1}), "unknown field `x`"),
            ("write_file", json!({"path": "a"}), "text or base64"),
            ("write_file", json!({"path": "a", "text": "", "base64": ""}), "text or base64"),
            ("reset", json!({"session": 1}), "session must be a string"),
        ] {
            let error = parsed(name, arguments).expect_err("it is wrong").to_string();
            assert!(error.contains(wanted), "{error}");
        }
        let nulls = json!({"code": "1", "timeout_s": null, "session": null});
        let run = ToolCall::RunPython { code: "1".to_owned(), timeout: None };
        assert_eq!(parsed("run_python", nulls), Ok((run, None)));
    }
}
