//! The code execution tool, for models that know only functions.

use serde_json::{Value, json};

use super::first_object;
use backend::{Function, InputFile, Prompt};

use crate::backends::markdown;
use parse::json;

/// Name of the tool.
pub const RUN_PYTHON: &str = "run_python";

/// Description of code execution for the model, with or without tool calls.
pub const ABOUT_CODE: &str = "You can run Python 3. Variables and files stay from one run to the next. \
     You see what the code prints, so print what you need. There is no network, and nothing can be \
     installed. Pictures are shown to the user with matplotlib's show(), or when the code saves \
     them. Use code for every calculation, and answer when you have its output.";
/// How to run code with the tool.
pub const WITH_TOOL: &str = "To run code, call the function run_python.";

/// The tool as a function declaration.
pub fn tool() -> Function {
    Function {
        name: RUN_PYTHON.into(),
        description: Some("Runs Python code and answers with what it prints.".into()),
        parameters: Some(json!({
            "type": "object",
            "properties": {"code": {"type": "string", "description": "Python 3"}},
            "required": ["code"],
        })),
    }
}

/// The files in the working directory, if there are any.
pub fn files(prompt: &Prompt) -> Option<String> {
    let file =
        |file: &InputFile| format!("{} ({}, {} bytes)", file.name, file.mime_type, file.bytes);
    let files: Vec<String> = prompt.files.iter().map(file).collect();
    (!files.is_empty()).then(|| format!("Files in the working directory: {}.", files.join(", ")))
}

/// The code of a call: `{"code": …}`, or the variants of small models: another field name, the bare
/// code, or code in a fence.
pub fn code(arguments: &str) -> Option<String> {
    let code = match json::parse(arguments.as_bytes()) {
        Ok(Value::String(code)) => Some(code),
        Ok(Value::Object(_)) | Err(_) if arguments.trim_start().starts_with('{') => {
            let call = first_object(arguments)?;
            let fields = call.as_object()?;
            let code = fields.get("code").or_else(|| fields.values().next());
            code.and_then(Value::as_str).map(str::to_owned)
        }
        Ok(_) => None,
        Err(_) => Some(arguments.to_owned()),
    };
    code.map(markdown::unfenced).filter(|code| !code.trim().is_empty())
}
