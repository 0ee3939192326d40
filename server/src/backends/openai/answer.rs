//! Reads the upstream's response leniently: nulls, missing ids, arguments in pieces or as objects,
//! counts as strings, and a complete response where a stream was requested.

use futures_util::StreamExt as _;
use serde_json::Value;

use super::built_in;
use super::request::GOOGLE_SEARCH;
use crate::backends::upstream::python::{self, RUN_PYTHON};
use crate::backends::upstream::{self, Datas, UpstreamError, UpstreamReply};
use backend::{End, Finish, ModelEvent, Tools};
use domain::interaction::{Reason, Tokens, ToolUse, Usage};

/// Maximum number of tool calls in one turn.
const MAX_CALLS: usize = 64;
/// Used as the finish reason if the upstream reports a malformed call as an error.
const BROKEN_CALL: &str = "malformed_function_call";

/// One turn of a model, read as it streams.
pub struct ChatTurn {
    events: Datas,
    calls: Vec<PartialCall>,
    finish: Option<String>,
    usage: Option<Usage>,
    /// Pieces that were read but not yet returned.
    pieces: Vec<Piece>,
    is_done: bool,
}

impl std::fmt::Debug for ChatTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTurn").field("finish", &self.finish).finish_non_exhaustive()
    }
}

/// A piece of output that can be returned at once.
#[derive(Debug, PartialEq)]
pub enum Piece {
    Thought(String),
    Text(String),
}

/// Results that are known at the end of the turn.
#[derive(Debug)]
pub struct Last {
    pub events: Vec<ModelEvent>,
    pub usage: Option<Usage>,
    /// By its token limit.
    pub is_cut: bool,
}

/// A tool call, as far as it has arrived.
#[derive(Debug, Default)]
struct PartialCall {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl ChatTurn {
    pub fn of(reply: UpstreamReply) -> ChatTurn {
        let (calls, pieces) = (Vec::new(), Vec::new());
        ChatTurn {
            events: reply.into_datas(),
            calls,
            finish: None,
            usage: None,
            pieces,
            is_done: false,
        }
    }

    /// The next piece; `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Piece>, UpstreamError> {
        loop {
            if !self.pieces.is_empty() {
                return Ok(Some(self.pieces.remove(0)));
            }
            if self.is_done {
                return Ok(None);
            }
            match self.events.next().await {
                None => self.is_done = true,
                Some(data) => match data?.trim() {
                    "[DONE]" => {
                        self.is_done = true;
                        self.finish.get_or_insert_default();
                    }
                    "" => {}
                    data => self.read(data)?,
                },
            }
        }
    }

    /// The final events: first searches and other tools, because they run at once, then the client's
    /// functions, or else code. The model repeats a code call beside function calls after the
    /// functions are answered.
    pub fn end(self, tools: &Tools) -> Result<Last, UpstreamError> {
        let Some(finish) = self.finish else {
            return Err(UpstreamError::BrokenOff);
        };
        let (mut events, mut functions, mut code) = (Vec::new(), Vec::new(), None);
        for call in &self.calls {
            let is_declared = tools.functions.iter().any(|function| function.name == call.name);
            match call.name.as_str() {
                GOOGLE_SEARCH if tools.google_search => events.push(call.search()),
                GOOGLE_SEARCH if !is_declared => {
                    functions.push(stopped(Reason::UnexpectedToolCall));
                }
                name if !is_declared && built_in::is_offered(tools, name) => {
                    events.push(call.tool());
                }
                RUN_PYTHON if !is_declared => code = code.or_else(|| Some(call.code())),
                _ => functions.push(call.function()),
            }
        }
        let code = code.filter(|_| functions.is_empty());
        let is_cut = reason(&finish) == Finish::MaxTokens;
        let finish = match events.is_empty() || !functions.is_empty() {
            true => reason(&finish),
            false => Finish::Searched,
        };
        events.extend(functions.into_iter().chain(code));
        let end = events.iter().position(|event| matches!(event, ModelEvent::End(_)));
        events.truncate(end.map_or(events.len(), |end| end + 1));
        if is_cut && let Some(broken) = events.iter_mut().find(|event| **event == malformed()) {
            *broken = ModelEvent::End(End { finish: Finish::MaxTokens, usage: None });
        }
        let last = match events.last() {
            Some(ModelEvent::Code(_) | ModelEvent::End(_)) => None,
            _ => Some(ModelEvent::End(End { finish, usage: None })),
        };
        events.extend(last);
        Ok(Last { events, usage: self.usage, is_cut })
    }

    fn read(&mut self, data: &str) -> Result<(), UpstreamError> {
        let chunk: Value = parse::json::parse(data.as_bytes())
            .map_err(|error| UpstreamError::Nonsense(error.to_string()))?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            return match is_broken_call(error) {
                true => {
                    self.calls.clear();
                    self.finish = Some(BROKEN_CALL.into());
                    self.is_done = true;
                    Ok(())
                }
                false => Err(upstream::broke(error)),
            };
        }
        self.usage = usage(&chunk["usage"]).or(self.usage);
        let choice = &chunk["choices"][0];
        let message =
            if choice["delta"].is_object() { &choice["delta"] } else { &choice["message"] };
        let thought = [&message["reasoning_content"], &message["reasoning"]].map(text);
        self.pieces.extend(thought.into_iter().find(|text| !text.is_empty()).map(Piece::Thought));
        self.pieces
            .extend(Some(text(&message["content"])).filter(|t| !t.is_empty()).map(Piece::Text));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            self.add_call(call)?;
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            self.finish = Some(finish.to_owned());
        }
        Ok(())
    }

    /// Pieces of a call carry its index or its id, or follow its first piece directly.
    fn add_call(&mut self, piece: &Value) -> Result<(), UpstreamError> {
        let index = piece["index"].as_u64();
        let id = piece["id"].as_str().unwrap_or_default();
        let name = piece["function"]["name"].as_str().unwrap_or_default();
        let belongs = |call: &PartialCall| {
            let same_id = id.is_empty() || call.id.is_empty() || call.id == id;
            same_id && call.index == index && (name.is_empty() || call.arguments.is_empty())
        };
        let at = match self.calls.iter().rposition(belongs) {
            Some(at) => at,
            None if self.calls.len() >= MAX_CALLS => {
                return Err(UpstreamError::Nonsense(format!("more than {MAX_CALLS} tool calls")));
            }
            None => {
                self.calls.push(PartialCall { index, ..PartialCall::default() });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        if !id.is_empty() {
            id.clone_into(&mut call.id);
        }
        if !name.is_empty() {
            name.clone_into(&mut call.name);
        }
        match &piece["function"]["arguments"] {
            Value::Null => {}
            Value::String(more) => call.arguments.push_str(more),
            whole => call.arguments = whole.to_string(),
        }
        Ok(())
    }
}

impl PartialCall {
    /// The call of a client's function. Arguments that are not an object end the turn.
    fn function(&self) -> ModelEvent {
        let arguments = match self.arguments.trim() {
            "" => Some(Value::Object(serde_json::Map::new())),
            text => upstream::first_object(text),
        };
        match arguments {
            Some(arguments) => ModelEvent::FunctionCall { name: self.name.clone(), arguments },
            None => malformed(),
        }
    }

    /// `{"queries": […]}`, or the variants of small models: a single string, or any other field
    /// name.
    fn words(&self, name: &str) -> Vec<String> {
        let given = match parse::json::parse(self.arguments.as_bytes()) {
            Ok(Value::Object(fields)) => {
                let words = fields.get(name).or_else(|| fields.values().next());
                words.cloned().unwrap_or_default()
            }
            Ok(other) => other,
            Err(_) if self.arguments.trim_start().starts_with('{') => Value::Null,
            Err(_) => Value::String(self.arguments.clone()),
        };
        let words: Vec<String> = match given {
            Value::String(word) => vec![word],
            Value::Array(words) => {
                words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        };
        if words.iter().all(|word| word.trim().is_empty()) { Vec::new() } else { words }
    }

    fn search(&self) -> ModelEvent {
        let queries = self.words("queries");
        if queries.is_empty() { malformed() } else { ModelEvent::Lookup { queries } }
    }

    /// The call of a tool that this server runs.
    fn tool(&self) -> ModelEvent {
        let request = built_in::request(&self.name, |name| self.words(name));
        let used = request.map(|request| ModelEvent::Tool(ToolUse { request, result: None }));
        used.unwrap_or_else(malformed)
    }

    fn code(&self) -> ModelEvent {
        python::code(&self.arguments).map_or_else(malformed, ModelEvent::Code)
    }
}

fn malformed() -> ModelEvent {
    stopped(Reason::MalformedFunctionCall)
}

fn stopped(reason: Reason) -> ModelEvent {
    ModelEvent::End(End { finish: Finish::Stopped(reason), usage: None })
}

/// llama.cpp and Groq validate calls themselves and report a malformed call as an error inside the
/// stream.
fn is_broken_call(error: &Value) -> bool {
    error["code"] == "tool_use_failed"
        || upstream::message(error).contains("does not match the expected")
}

fn reason(finish: &str) -> Finish {
    match finish {
        "length" => Finish::MaxTokens,
        "content_filter" => Finish::Stopped(Reason::Safety),
        BROKEN_CALL => Finish::Stopped(Reason::MalformedFunctionCall),
        _ => Finish::Stop,
    }
}

/// A string, or a list of contents with text.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn usage(value: &Value) -> Option<Usage> {
    let number = |value: &Value| {
        value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
    };
    let (input, output) = (number(&value["prompt_tokens"])?, number(&value["completion_tokens"])?);
    let thought = number(&value["completion_tokens_details"]["reasoning_tokens"]).unwrap_or(0);
    let cached = number(&value["prompt_tokens_details"]["cached_tokens"]).unwrap_or(0);
    let output = output.saturating_sub(thought);
    let (input, output) = (Tokens::text(input), Tokens::text(output));
    Some(Usage { input, output, thought, cached, ..Usage::default() })
}
