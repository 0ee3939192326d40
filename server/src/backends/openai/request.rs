//! The request to an OpenAI-compatible server.

use serde_json::{Value, json};

use super::abilities::Ability;
use super::fence::Blocks;
use super::{built_in, history};
use crate::backends::upstream::python::{self, ABOUT_CODE, WITH_TOOL};
use backend::{Function, Prompt};
use domain::interaction::{Content, MediaKind, Step, ToolMode};

/// Name of the search tool.
pub const GOOGLE_SEARCH: &str = "google_search";

const WITH_FENCES: &str = "To run code, write it in one block that begins with a line ```python and \
     ends with a line ```, and stop there. The next message has its output, after ```output. Never \
     write the output yourself.";

const ABOUT_SEARCH: &str = "You can search the web for what you do not know. You get pages, each \
     with a number, an address and an excerpt. Write the number of a page in brackets, such as [1], \
     right after each statement that you took from it, and say nothing as found that was not.";
const SEARCH_WITH_TOOL: &str = "To search, call the function google_search.";
const SEARCH_WITH_FENCES: &str = "To search, write your queries, one a line, in one block that \
     begins with a line ```google_search and ends with a line ```, and stop there. The next message \
     has what was found.";

/// A request, built for the abilities of the model.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The model's name upstream.
    pub model: &'a str,
    pub tools: bool,
    pub images: bool,
    pub usage: bool,
}

impl Asking<'_> {
    /// The request body, or the reason why the model cannot serve the prompt.
    pub fn body(&self, prompt: &Prompt) -> Result<Value, String> {
        if !self.tools && !prompt.tools.functions.is_empty() {
            return Err(format!(
                "The model `{}` cannot call functions, and this request declares some.",
                self.model
            ));
        }
        let mut messages = history::messages(
            &prompt.steps,
            history::ModelFormat { tools: self.tools, images: self.images },
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

    /// The blocks that are recognized in the response.
    pub fn blocks(&self, prompt: &Prompt) -> Blocks {
        Blocks {
            python: !self.tools && prompt.tools.code_execution,
            unmarked: !self.tools && prompt.tools.code_execution && !has_run(prompt),
            search: !self.tools && prompt.tools.google_search,
        }
    }

    /// Whether this request used an ability that the model may lack.
    pub fn uses(&self, ability: Ability, prompt: &Prompt) -> bool {
        match ability {
            Ability::Tools => {
                let called = |step: &Step| {
                    matches!(step, Step::CodeCall(_) | Step::FunctionCall(_) | Step::SearchCall(_))
                };
                let offered = prompt.tools.code_execution
                    || prompt.tools.google_search
                    || !built_in::functions(&prompt.tools).is_empty();
                self.tools && (offered || prompt.steps.iter().any(called))
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
            parts.extend(python::files(prompt));
        }
        if prompt.tools.google_search {
            parts.push(ABOUT_SEARCH.into());
            parts.push(if self.tools { SEARCH_WITH_TOOL } else { SEARCH_WITH_FENCES }.into());
        }
        if self.tools {
            parts.extend(built_in::about(&prompt.tools));
        }
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    fn tools(&self, prompt: &Prompt) -> Vec<Value> {
        if !self.tools {
            return Vec::new();
        }
        let search = Function {
            name: GOOGLE_SEARCH.into(),
            description: Some("Searches the web, and answers with numbered pages.".into()),
            parameters: Some(json!({
                "type": "object",
                "properties": {"queries": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "What to look for, each as one would type it",
                }},
                "required": ["queries"],
            })),
        };
        let python = prompt.tools.code_execution.then(python::tool);
        let search = prompt.tools.google_search.then_some(search);
        let built_in = built_in::functions(&prompt.tools);
        // The client's function counts where a tool has the same name.
        let functions = &prompt.tools.functions;
        let built_in =
            built_in.iter().filter(|tool| !functions.iter().any(|f| f.name == tool.name));
        python.iter().chain(&search).chain(built_in).chain(functions).map(tool).collect()
    }

    /// Google's settings that have a different name here but the same meaning.
    fn settings(&self, prompt: &Prompt, body: &mut Value) {
        let config = &prompt.generation_config;
        let sampling = config.sampling();
        for (value, theirs) in [
            (sampling.temperature, "temperature"),
            (sampling.top_p, "top_p"),
            (sampling.seed, "seed"),
            (sampling.max_output_tokens, "max_tokens"),
            (sampling.stop_sequences, "stop"),
        ] {
            if let Some(value) = value {
                body[theirs] = value.clone();
            }
        }
        if config.requests_json() {
            body["response_format"] = match config.response_schema() {
                Some(schema) => json!({
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": schema},
                }),
                None => json!({"type": "json_object"}),
            };
        }
        let choice = match config.tool_mode() {
            Some(ToolMode::Any) => "required",
            Some(ToolMode::None) => "none",
            None => return,
        };
        // `tool_choice` needs tools, and some servers reject it without them. With `required` the
        // model could never answer after a tool call.
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

/// Whether code has run since the newest input.
fn has_run(prompt: &Prompt) -> bool {
    let since = prompt.steps.iter().rev().take_while(|step| !matches!(step, Step::UserInput(_)));
    since.into_iter().any(|step| matches!(step, Step::CodeResult(_)))
}

fn has_image(step: &Step) -> bool {
    let (Step::UserInput(contents) | Step::ModelOutput(contents)) = step else { return false };
    let is_image = |content: &Content| matches!(content, Content::Media(media) if media.kind == MediaKind::Image);
    contents.iter().any(is_image)
}
