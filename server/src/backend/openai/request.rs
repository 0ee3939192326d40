//! What the other server is asked.

use serde_json::{Value, json};

use super::abilities::Ability;
use super::history;
use crate::backend::{Function, Prompt};
use crate::interaction::{Content, MediaKind, Step};

/// The tool that runs code.
pub const RUN_PYTHON: &str = "run_python";

const ABOUT_CODE: &str = "You can run Python 3. Variables and files stay from one run to the next. \
     You see what the code prints, so print what you need. There is no network, and nothing can be \
     installed. Pictures are shown to the user with matplotlib's show(), or when the code saves \
     them. Use code for every calculation, and answer when you have its output.";
const WITH_TOOL: &str = "To run code, call the function run_python.";
const WITH_FENCES: &str = "To run code, write it in one block that begins with a line ```python and \
     ends with a line ```, and stop there. The next message has its output, after ```output. Never \
     write the output yourself.";

/// A request, by what the model has.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// As the other server calls it.
    pub model: &'a str,
    pub tools: bool,
    pub images: bool,
    pub usage: bool,
}

impl Asking<'_> {
    /// The body, or why the model cannot be asked this.
    pub fn body(&self, prompt: &Prompt) -> Result<Value, String> {
        if !self.tools && !prompt.tools.functions.is_empty() {
            return Err(format!(
                "The model `{}` cannot call functions, and this request declares some.",
                self.model
            ));
        }
        let mut messages = history::messages(
            &prompt.steps,
            history::Form { tools: self.tools, images: self.images },
        );
        if let Some(system) = self.system(prompt) {
            messages.insert(0, json!({"role": "system", "content": system}));
        }
        let mut body = json!({"model": self.model, "messages": messages, "stream": true});
        if self.usage {
            body["stream_options"] = json!({"include_usage": true});
        }
        let tools = self.tools(prompt);
        if !tools.is_empty() {
            body["tools"] = tools.into();
        }
        self.settings(prompt, &mut body);
        Ok(body)
    }

    /// Whether code comes in blocks.
    pub fn is_fenced(&self, prompt: &Prompt) -> bool {
        !self.tools && prompt.tools.code_execution
    }

    /// Whether this request made use of what the model may not have.
    pub fn uses(&self, ability: Ability, prompt: &Prompt) -> bool {
        match ability {
            Ability::Tools => {
                let called =
                    |step: &Step| matches!(step, Step::CodeCall(_) | Step::FunctionCall(_));
                self.tools && (prompt.tools.code_execution || prompt.steps.iter().any(called))
            }
            Ability::Images => self.images && prompt.steps.iter().any(has_image),
            Ability::Usage => self.usage,
        }
    }

    fn system(&self, prompt: &Prompt) -> Option<String> {
        let mut parts: Vec<String> = prompt.system_instruction.iter().cloned().collect();
        if prompt.tools.code_execution {
            parts.push(ABOUT_CODE.into());
            parts.push(if self.tools { WITH_TOOL } else { WITH_FENCES }.into());
            if !prompt.files.is_empty() {
                let file = |file: &crate::backend::InputFile| {
                    format!("{} ({}, {} bytes)", file.name, file.mime_type, file.bytes)
                };
                let files: Vec<String> = prompt.files.iter().map(file).collect();
                parts.push(format!("Files in the working directory: {}.", files.join(", ")));
            }
        }
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    fn tools(&self, prompt: &Prompt) -> Vec<Value> {
        if !self.tools {
            return Vec::new();
        }
        let python = Function {
            name: RUN_PYTHON.into(),
            description: Some("Runs Python code and answers with what it prints.".into()),
            parameters: Some(json!({
                "type": "object",
                "properties": {"code": {"type": "string", "description": "Python 3"}},
                "required": ["code"],
            })),
        };
        let python = prompt.tools.code_execution.then_some(python);
        python.iter().chain(&prompt.tools.functions).map(tool).collect()
    }

    /// Those settings of Google's that have another name here, and the same meaning.
    fn settings(&self, prompt: &Prompt, body: &mut Value) {
        for (ours, theirs) in [
            ("temperature", "temperature"),
            ("top_p", "top_p"),
            ("seed", "seed"),
            ("max_output_tokens", "max_tokens"),
            ("stop_sequences", "stop"),
        ] {
            if let Some(value) = prompt.generation_config.get(ours) {
                body[theirs] = value.clone();
            }
        }
        if prompt.generation_config.get("response_mime_type") == Some(&json!("application/json")) {
            body["response_format"] = match prompt.generation_config.get("response_json_schema") {
                Some(schema) => json!({
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": schema},
                }),
                None => json!({"type": "json_object"}),
            };
        }
        let choice = match prompt.generation_config.get("tool_choice").and_then(Value::as_str) {
            Some("any") => "required",
            Some("none") => "none",
            _ => return,
        };
        // Without tools there is nothing to choose, and some servers refuse that. And a model that
        // must call one could never answer with what the last call brought.
        let begins = prompt.steps.last().is_some_and(|step| matches!(step, Step::UserInput(_)));
        if body.get("tools").is_some() && (choice == "none" || begins) {
            body["tool_choice"] = choice.into();
        }
    }
}

fn tool(function: &Function) -> Value {
    let empty = || json!({"type": "object", "properties": {}});
    json!({"type": "function", "function": {
        "name": function.name,
        "description": function.description.as_deref().unwrap_or_default(),
        "parameters": function.parameters.clone().unwrap_or_else(empty),
    }})
}

fn has_image(step: &Step) -> bool {
    let (Step::UserInput(contents) | Step::ModelOutput(contents)) = step else { return false };
    let is_image = |content: &Content| matches!(content, Content::Media(media) if media.kind == MediaKind::Image);
    contents.iter().any(is_image)
}
