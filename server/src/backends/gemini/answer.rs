//! Reads the event stream of an upstream Gemini server as model events.
//!
//! If the upstream runs the code, all its steps are passed through unchanged. If this server runs
//! the code, thoughts, texts and calls become the model's own events, and only steps of tools that
//! run upstream are passed through.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use serde_json::Value;

use super::Execution;
use crate::backends::upstream::python::{self, RUN_PYTHON};
use crate::backends::upstream::{self, Datas, UpstreamError, UpstreamReply};
use backend::{CallIdentity, End, Finish, MAX_JSON_VALUES, ModelEvent, Passthrough};
use domain::interaction::{PassthroughStep, Reason, Tokens, Usage};
use parse::json::JsonSize;

/// Maximum number of steps in one response.
const MAX_STEPS: usize = 1000;

/// One turn of the model, read as it streams.
pub struct GeminiTurn {
    datas: Datas,
    execution: Execution,
    open: Option<StreamingStep>,
    steps: usize,
    /// Values in the steps and deltas so far that are kept as JSON.
    json_values: usize,
    /// Code that the model wants to run, with the upstream's id and signature of the call. Text
    /// after the call is made up and ignored; its token counts are used.
    code: Option<(CallIdentity, Option<String>)>,
    /// Calls of the client's functions. They take precedence over code.
    calls: bool,
    /// Events that were read but not yet returned.
    pending: VecDeque<ModelEvent>,
    has_ended: bool,
}

/// The step that is currently streaming.
enum StreamingStep {
    /// Its signature, if it has arrived.
    Thought(Option<String>),
    Text,
    Call(PassthroughStep),
    Passthrough,
}

impl std::fmt::Debug for GeminiTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeminiTurn").field("steps", &self.steps).finish_non_exhaustive()
    }
}

impl GeminiTurn {
    pub fn of(reply: UpstreamReply, execution: Execution) -> GeminiTurn {
        GeminiTurn {
            datas: reply.into_datas(),
            execution,
            open: None,
            steps: 0,
            json_values: 0,
            code: None,
            calls: false,
            pending: VecDeque::new(),
            has_ended: false,
        }
    }

    /// The next event of the model. The last one is code or an end.
    pub async fn next(&mut self) -> Result<Option<ModelEvent>, UpstreamError> {
        loop {
            if let Some(pending) = self.pending.pop_front() {
                return Ok(Some(pending));
            }
            if self.has_ended {
                return Ok(None);
            }
            let data = self.datas.next().await.ok_or(UpstreamError::BrokenOff)??;
            match data.trim() {
                "" => {}
                "[DONE]" => return Err(UpstreamError::BrokenOff), // no end came before it
                data => {
                    let event: Value = parse::json::parse(data.as_bytes())
                        .map_err(|error| UpstreamError::Nonsense(error.to_string()))?;
                    self.read(event)?;
                }
            }
        }
    }

    fn read(&mut self, mut event: Value) -> Result<(), UpstreamError> {
        if let Some(error) = event.get("error").filter(|error| !error.is_null()) {
            return Err(upstream::UpstreamError::Broke(upstream::message(error)));
        }
        match event["event_type"].as_str() {
            Some("step.start") => self.start(event["step"].take()),
            Some("step.delta") => self.delta(event["delta"].take()),
            Some("step.stop") => self.stop(),
            Some("interaction.completed") => self.end(&event["interaction"]),
            // Status updates, and event types that this version does not know.
            Some(_) => Ok(()),
            None => Err(UpstreamError::Nonsense("an event without a type".to_owned())),
        }
    }

    fn start(&mut self, step: Value) -> Result<(), UpstreamError> {
        self.stop()?;
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(UpstreamError::Nonsense(format!("more than {MAX_STEPS} steps")));
        }
        let Some(kind) = step["type"].as_str().map(str::to_owned) else {
            return Err(UpstreamError::Nonsense("a step without a type".to_owned()));
        };
        self.open = Some(match (kind.as_str(), self.execution) {
            ("thought", Execution::Sandbox) => {
                let summary = step["summary"].as_array().into_iter().flatten();
                let summary = summary.filter_map(|content| content["text"].as_str());
                self.pending.extend(summary.map(|text| ModelEvent::Thought(text.to_owned())));
                StreamingStep::Thought(signature(&step))
            }
            ("model_output", Execution::Sandbox) => {
                let contents = step["content"].as_array().into_iter().flatten();
                let texts = contents.filter_map(|content| content["text"].as_str());
                self.pending.extend(texts.map(|text| ModelEvent::Text(text.to_owned())));
                StreamingStep::Text
            }
            ("function_call", Execution::Sandbox) => {
                self.keep(&step)?;
                StreamingStep::Call(PassthroughStep::new(step))
            }
            _ => {
                self.keep(&step)?;
                self.pending.push_back(ModelEvent::Passthrough(Passthrough::Started(step)));
                StreamingStep::Passthrough
            }
        });
        Ok(())
    }

    /// Counts JSON that is kept.
    fn keep(&mut self, json: &Value) -> Result<(), UpstreamError> {
        self.json_values += JsonSize::of(json).excess();
        if self.json_values > MAX_JSON_VALUES {
            return Err(UpstreamError::Nonsense(format!("more than {MAX_JSON_VALUES} values")));
        }
        Ok(())
    }

    fn delta(&mut self, delta: Value) -> Result<(), UpstreamError> {
        if let Some(StreamingStep::Call(_) | StreamingStep::Passthrough) = self.open {
            self.keep(&delta)?;
        }
        let kind = delta["type"].as_str();
        match &mut self.open {
            None => return Err(UpstreamError::Nonsense("a delta without its step".to_owned())),
            Some(StreamingStep::Thought(current)) => match kind {
                Some("thought_signature") => *current = signature(&delta),
                _ => {
                    let text = delta["content"]["text"].as_str();
                    self.pending.extend(text.map(|text| ModelEvent::Thought(text.to_owned())));
                }
            },
            // Pictures and citations: no tool is offered that could have produced them.
            Some(StreamingStep::Text) => {
                let text = delta["text"].as_str();
                self.pending.extend(text.map(|text| ModelEvent::Text(text.to_owned())));
            }
            Some(StreamingStep::Call(step)) => step.add(&delta),
            Some(StreamingStep::Passthrough) => {
                self.pending.push_back(ModelEvent::Passthrough(Passthrough::Delta(delta)));
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), UpstreamError> {
        match self.open.take() {
            None | Some(StreamingStep::Text) => {}
            Some(StreamingStep::Thought(signature)) => {
                self.pending.push_back(ModelEvent::ThoughtSignature(signature.unwrap_or_default()));
            }
            Some(StreamingStep::Passthrough) => {
                self.pending.push_back(ModelEvent::Passthrough(Passthrough::Stopped))
            }
            Some(StreamingStep::Call(step)) => self.call(&step.into_value()),
        }
        Ok(())
    }

    /// A complete function call. Only the first code call runs: its result may change the others.
    fn call(&mut self, step: &Value) {
        let identity = CallIdentity {
            id: step["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned),
            signature: signature(step).unwrap_or_default(),
        };
        let name = step["name"].as_str().unwrap_or_default();
        if name == RUN_PYTHON {
            let code = python::code(&step["arguments"].to_string());
            self.code.get_or_insert((identity, code));
            return;
        }
        self.calls = true;
        let arguments = match &step["arguments"] {
            Value::Object(_) => step["arguments"].clone(),
            _ => Value::Object(serde_json::Map::new()),
        };
        let call = ModelEvent::FunctionCall { name: name.to_owned(), arguments };
        self.pending.extend([ModelEvent::CallIdentity(identity), call]);
    }

    fn end(&mut self, interaction: &Value) -> Result<(), UpstreamError> {
        self.stop()?;
        self.has_ended = true;
        let counted = usage(&interaction["usage"]);
        let finish = match interaction["status"].as_str() {
            Some("incomplete" | "budget_exceeded") => Finish::MaxTokens,
            Some("failed") => {
                let why = upstream::message(&interaction["errors"][0]);
                return Err(UpstreamError::Broke(why));
            }
            Some("cancelled") => return Err(UpstreamError::BrokenOff),
            _ => Finish::Stop,
        };
        if self.execution == Execution::Upstream {
            let theirs = interaction.get("usage").filter(|usage| usage.is_object());
            self.pending.extend(theirs.cloned().map(ModelEvent::UpstreamUsage));
            // The upstream's counts cover all of its turns.
            self.pending.push_back(ModelEvent::End(End { finish, usage: counted }));
            return Ok(());
        }
        self.pending.extend(counted.map(ModelEvent::Counted));
        let code = self.code.take().filter(|_| !self.calls);
        match code {
            Some((identity, Some(code))) => {
                self.pending.extend([ModelEvent::CallIdentity(identity), ModelEvent::Code(code)]);
            }
            Some((_, None)) => {
                let finish = Finish::Stopped(Reason::MalformedFunctionCall);
                self.pending.push_back(ModelEvent::End(End { finish, usage: None }));
            }
            None => self.pending.push_back(ModelEvent::End(End { finish, usage: None })),
        }
        Ok(())
    }
}

fn signature(of: &Value) -> Option<String> {
    of["signature"].as_str().filter(|signature| !signature.is_empty()).map(str::to_owned)
}

fn usage(value: &Value) -> Option<Usage> {
    let count = |name: &str| value[format!("total_{name}_tokens")].as_u64();
    Some(Usage {
        input: Tokens::text(count("input")?),
        output: Tokens::text(count("output").unwrap_or(0)),
        thought: count("thought").unwrap_or(0),
        tool_use: Tokens::text(count("tool_use").unwrap_or(0)),
        cached: count("cached").unwrap_or(0),
        searches: 0,
    })
}
