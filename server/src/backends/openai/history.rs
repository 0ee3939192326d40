//! Converts a conversation to chat messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::built_in;
use super::request::GOOGLE_SEARCH;
use crate::backends::upstream::python::RUN_PYTHON;
use domain::interaction::{
    CitedPages, CodeCall, CodeResult, Content, FunctionCall, FunctionResult, Media, MediaKind,
    SearchCall, SearchResult, Source, Step, ToolRequest, ToolResult,
};

/// Message format that the model supports.
#[derive(Debug, Clone, Copy)]
pub struct ModelFormat {
    /// Uses tool calls and results instead of text blocks.
    pub tools: bool,
    pub images: bool,
}

/// The messages, oldest first. Thoughts are internal to the model and omitted.
pub fn messages(steps: &[Step], format: ModelFormat) -> Vec<Value> {
    let mut chat = Chat {
        format,
        messages: Vec::new(),
        unanswered: Vec::new(),
        shown: Vec::new(),
        sources: CitedPages::default(),
    };
    for step in steps {
        match step {
            Step::UserInput(contents) => chat.user(contents),
            Step::ModelOutput(contents) => chat.model_output(contents),
            Step::CodeCall(call) => chat.code(call),
            Step::CodeResult(result) => chat.result(result),
            Step::FunctionCall(call) => chat.function(call),
            Step::FunctionResult(result) => chat.function_result(result),
            Step::SearchCall(call) => chat.search(call),
            Step::SearchResult(result) => chat.search_result(result),
            Step::Passthrough(step) => chat.tool_step(step),
            Step::Thought { .. } => {}
        }
    }
    chat.messages
}

struct Chat {
    format: ModelFormat,
    messages: Vec<Value>,
    /// Ids of open calls. No other message may stand between a call and its result.
    unanswered: Vec<String>,
    /// Pictures from function results. They are sent after all calls have results.
    shown: Vec<Value>,
    /// The pages so far, with the numbers that the model cites.
    sources: CitedPages,
}

impl Chat {
    fn user(&mut self, contents: &[Content]) {
        for id in std::mem::take(&mut self.unanswered) {
            self.tool(&id, "There is no answer.");
        }
        let mut parts = Vec::new();
        for content in contents {
            match content {
                Content::Text { text, .. } => parts.push(json!({"type": "text", "text": text})),
                Content::Media(media) => parts.extend(self.picture(media)),
                Content::Passthrough(_) => {}
            }
        }
        self.push_user(parts);
    }

    /// Pictures that code made are sent as the user, because no other role may contain images.
    fn model_output(&mut self, contents: &[Content]) {
        let mut pictures = Vec::new();
        for content in contents {
            match content {
                Content::Text { text, .. } => self.add_text(text),
                Content::Media(media) => pictures.extend(self.picture(media)),
                Content::Passthrough(_) => {}
            }
        }
        if !pictures.is_empty() {
            pictures.insert(0, json!({"type": "text", "text": "The code made these pictures:"}));
            self.push_user(pictures);
        }
    }

    fn code(&mut self, call: &CodeCall) {
        if self.format.tools {
            self.call(&call.id, RUN_PYTHON, &json!({"code": call.code}));
        } else {
            let end = if call.code.ends_with('\n') { "" } else { "\n" };
            self.add_text(&format!("\n```python\n{}{end}```\n", call.code));
        }
    }

    fn result(&mut self, result: &CodeResult) {
        let mut text = result.result.clone();
        if text.is_empty() {
            text = "(It printed nothing.)".into();
        }
        if result.outcome.is_error() {
            text.insert_str(0, "The code failed:\n");
        }
        if self.format.tools {
            self.tool(&result.call_id, &text);
        } else {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            let text = format!("```output\n{text}{end}```");
            self.push_user(vec![json!({"type": "text", "text": text})]);
        }
    }

    fn search(&mut self, call: &SearchCall) {
        if self.format.tools {
            self.call(&call.id, GOOGLE_SEARCH, &json!({"queries": call.queries}));
        } else {
            self.add_text(&format!("\n```google_search\n{}\n```\n", call.queries.join("\n")));
        }
    }

    fn search_result(&mut self, result: &SearchResult) {
        let pages = result.found.iter().map(|page| {
            let number = self.sources.number(page.source());
            format!("[{number}] {}\n{}\n{}", page.title, page.url, page.snippet)
        });
        let mut text = pages.collect::<Vec<_>>().join("\n\n");
        if result.is_error {
            text = "The search failed.".into();
        } else if text.is_empty() {
            text = "Nothing was found.".into();
        }
        if self.format.tools {
            self.tool(&result.call_id, &text);
        } else {
            let text = format!("```found\n{text}\n```");
            self.push_user(vec![json!({"type": "text", "text": text})]);
        }
    }

    /// The call or the result of another tool. What a model without tools gets is only the result.
    fn tool_step(&mut self, step: &Value) {
        let call = ToolRequest::of_step(step).and_then(|request| built_in::call(&request));
        if let (Some((name, arguments)), Some(id)) = (call, step["id"].as_str()) {
            if self.format.tools {
                self.call(id, &name, &arguments);
            }
            return;
        }
        let Some(result) = ToolResult::of_step(step) else { return };
        let text = built_in::text_of(&result, &mut self.sources);
        let call_id = step["call_id"].as_str().unwrap_or_default();
        if self.unanswered.iter().any(|id| id == call_id) {
            self.tool(call_id, &text);
        } else if self.unanswered.is_empty() {
            self.push_user(vec![json!({"type": "text", "text": text})]);
        }
    }

    fn function(&mut self, call: &FunctionCall) {
        if self.format.tools {
            self.call(&call.id, &call.name, &call.arguments);
        } else {
            self.add_text(&format!("\n(called {} with {})\n", call.name, call.arguments));
        }
    }

    fn function_result(&mut self, result: &FunctionResult) {
        let text = match &result.result {
            Value::String(text) => text.clone(),
            Value::Array(contents) => self.text_of(contents),
            other => other.to_string(),
        };
        if self.format.tools {
            self.tool(&result.call_id, &text);
        } else {
            self.push_user(vec![json!({"type": "text", "text": text})]);
        }
        if self.unanswered.is_empty() && !self.shown.is_empty() {
            let mut parts =
                vec![json!({"type": "text", "text": "The functions gave these pictures:"})];
            parts.append(&mut self.shown);
            self.push_user(parts);
        }
    }

    /// The texts of a function's result; its pictures are collected separately. A result that is
    /// not a list of contents is sent as JSON.
    fn text_of(&mut self, contents: &[Value]) -> String {
        let mut texts = Vec::new();
        let mut pictures = Vec::new();
        for content in contents {
            match (content["type"].as_str(), content["text"].as_str(), content["data"].as_str()) {
                (Some("text"), Some(text), _) => texts.push(text),
                (Some("image"), _, Some(data)) => pictures.push((&content["mime_type"], data)),
                _ => return Value::from(contents).to_string(),
            }
        }
        if self.format.images {
            self.shown.extend(pictures.iter().map(|(mime_type, data)| {
                let url =
                    format!("data:{};base64,{data}", mime_type.as_str().unwrap_or("image/png"));
                json!({"type": "image_url", "image_url": {"url": url}})
            }));
        }
        if !pictures.is_empty() {
            texts.push(if self.format.images {
                "(with pictures)"
            } else {
                "(with pictures that you cannot see)"
            });
        }
        texts.join("\n")
    }

    /// Consecutive output of the model is one message.
    fn assistant(&mut self) -> &mut Value {
        let goes_on = self.messages.last().is_some_and(|last| last["role"] == "assistant");
        if !goes_on {
            self.messages.push(json!({"role": "assistant", "content": ""}));
        }
        self.messages.last_mut().expect("one was pushed")
    }

    fn add_text(&mut self, text: &str) {
        let message = self.assistant();
        let before = message["content"].as_str().unwrap_or_default();
        message["content"] = format!("{before}{text}").into();
    }

    fn call(&mut self, id: &str, name: &str, arguments: &Value) {
        self.unanswered.push(id.to_owned());
        let call = json!({
            "id": id,
            "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()},
        });
        let message = self.assistant();
        match &mut message["tool_calls"] {
            Value::Array(calls) => calls.push(call),
            none => *none = json!([call]),
        }
    }

    fn tool(&mut self, id: &str, text: &str) {
        self.unanswered.retain(|unanswered| unanswered != id);
        self.messages.push(json!({"role": "tool", "tool_call_id": id, "content": text}));
    }

    /// Text alone is sent as a string, because some servers accept nothing else.
    fn push_user(&mut self, parts: Vec<Value>) {
        let texts: Option<Vec<&str>> = parts.iter().map(|part| part["text"].as_str()).collect();
        let content = texts.map_or_else(|| json!(parts), |texts| texts.join("\n").into());
        self.messages.push(json!({"role": "user", "content": content}));
    }

    /// Only images are sent. Other files are in the working directory, where code can read them.
    fn picture(&self, media: &Media) -> Option<Value> {
        let Media { kind: MediaKind::Image, source: Source::Inline(data), mime_type } = media
        else {
            return None;
        };
        self.format.images.then(|| {
            let mime_type = mime_type.as_deref().unwrap_or("image/png");
            let url = format!("data:{mime_type};base64,{}", STANDARD.encode(data));
            json!({"type": "image_url", "image_url": {"url": url}})
        })
    }
}
