//! A conversation as a scenario sees it: where it began, and the results since then.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::ops::Range;

use minijinja::value::Serde;
use minijinja::{Value, context};
use serde_json::Value as Json;

use super::asked::ClientMessage;
use super::given::Given;
use super::time::ComparisonTime;
use backend::{InputFile, Prompt};
use domain::interaction::{CodeResult, FunctionResult, Step};

/// A conversation, prepared for a script.
#[derive(Debug, Clone, Copy)]
pub struct Conversation<'a> {
    prompt: &'a Prompt,
    read: &'a ClientMessages<'a>,
}

/// What the client wrote in a conversation. It is read once for all scenarios and all positions.
#[derive(Debug)]
pub struct ClientMessages<'a> {
    prompt: &'a Prompt,
    /// Names of functions by call id. A result may omit the name of its function.
    calls: HashMap<&'a str, &'a str>,
    all: OnceCell<(Vec<usize>, Vec<ClientMessage>)>,
    /// The newest user text, and the same in lower case.
    input: OnceCell<(String, String)>,
}

impl<'a> ClientMessages<'a> {
    pub fn of(prompt: &'a Prompt) -> ClientMessages<'a> {
        let calls = prompt.steps.iter().filter_map(|step| match step {
            Step::FunctionCall(call) => Some((call.id.as_str(), call.name.as_str())),
            _ => None,
        });
        let (all, input) = Default::default();
        ClientMessages { prompt, calls: calls.collect(), all, input }
    }

    fn called(&self, result: &'a FunctionResult) -> Option<&'a str> {
        let named = result.name.as_deref();
        named.or_else(|| self.calls.get(result.call_id.as_str()).copied())
    }

    fn input(&self) -> &(String, String) {
        self.input.get_or_init(|| {
            let input = self.prompt.steps.iter().rev().find_map(Step::user_text);
            let input = input.unwrap_or_default();
            let lower = input.to_lowercase();
            (input, lower)
        })
    }

    /// The messages in these steps.
    fn within(&self, at: Range<usize>) -> &[ClientMessage] {
        let (steps, messages) = self.all.get_or_init(|| {
            let message = |(at, step): (usize, &'a Step)| match step {
                Step::UserInput(_) => Some((at, ClientMessage::Text(step.user_text()?))),
                Step::FunctionResult(result) => {
                    let name = self.called(result)?.to_owned();
                    Some((at, ClientMessage::Result { name, value: plain(&result.result) }))
                }
                _ => None,
            };
            self.prompt.steps.iter().enumerate().filter_map(message).unzip()
        });
        let index = |step: usize| steps.partition_point(|at| *at < step);
        &messages[index(at.start)..index(at.end)]
    }
}

/// The data that the conditions of a scenario are compared with.
#[derive(Debug)]
pub struct MatchContext<'a> {
    pub input: &'a str,
    /// The same in lower case.
    pub lower_input: &'a str,
    /// Number of user turns, this one included.
    pub turn: usize,
    /// Names of the functions whose results are in the newest request.
    pub answered: Vec<&'a str>,
    /// The results themselves.
    pub results: Vec<&'a ClientMessage>,
    /// The client's earlier messages, oldest first.
    pub earlier: &'a [ClientMessage],
    pub model: &'a str,
    pub offered: &'a [String],
    pub files: &'a [InputFile],
    /// The rest of the model's input.
    pub given: Given<'a>,
    /// How long it may be compared.
    pub time: &'a ComparisonTime<'a>,
}

/// A result that a script waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwaitedResult<'a> {
    CodeResult { is_error: bool },
    FunctionResults(Answers<'a>),
}

/// The client's results for the function calls of one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers<'a> {
    /// Position of the results in the chain.
    pub steps: Range<usize>,
    pub names: Vec<&'a str>,
    pub is_error: bool,
}

impl AwaitedResult<'_> {
    pub fn is_error(&self) -> bool {
        match self {
            AwaitedResult::CodeResult { is_error } => *is_error,
            AwaitedResult::FunctionResults(answers) => answers.is_error,
        }
    }
}

impl<'a> Conversation<'a> {
    pub fn new(read: &'a ClientMessages<'a>) -> Conversation<'a> {
        Conversation { prompt: read.prompt, read }
    }

    /// The client's steps that contain the newest user text. The script starts here.
    pub fn newest_input(self) -> Range<usize> {
        let newest = self.steps().iter().rposition(|step| matches!(step, Step::UserInput(_)));
        newest.map_or(0..0, |at| self.client_steps_around(at))
    }

    /// The client's steps at the end: those of the newest request.
    pub fn newest_of_client(self) -> Range<usize> {
        match self.steps().len().checked_sub(1) {
            Some(last) if is_clients(&self.steps()[last]) => self.client_steps_around(last),
            _ => self.newest_input(),
        }
    }

    /// The data for a script that began with these steps, which no user text follows.
    pub fn match_context(
        self,
        start: &Range<usize>,
        time: &'a ComparisonTime<'a>,
    ) -> MatchContext<'a> {
        let (input, lower_input) = self.read.input();
        MatchContext {
            input,
            lower_input,
            turn: self.turn(),
            answered: self.answers(start).map(|answers| answers.names).unwrap_or_default(),
            results: self.results(start.clone()),
            earlier: self.earlier(start),
            model: &self.prompt.model,
            offered: &self.prompt.tools.offered,
            files: &self.prompt.files,
            given: Given::new(self.prompt, start.start),
            time,
        }
    }

    /// The function results among the client's steps `at`, if there are any.
    pub fn answers(self, at: &Range<usize>) -> Option<Answers<'a>> {
        let results: Vec<&FunctionResult> = self.steps()[at.clone()]
            .iter()
            .filter_map(|step| match step {
                Step::FunctionResult(result) => Some(result),
                _ => None,
            })
            .collect();
        (!results.is_empty()).then(|| Answers {
            steps: at.clone(),
            names: results.iter().filter_map(|result| self.read.called(result)).collect(),
            is_error: results.iter().any(|result| result.is_error),
        })
    }

    /// All results after `start`, in order.
    pub fn awaited_after(self, start: &Range<usize>) -> Vec<AwaitedResult<'a>> {
        let mut awaited = Vec::new();
        let mut at = start.end;
        while let Some(step) = self.steps().get(at) {
            let mut next = at + 1;
            if let Step::CodeResult(result) = step {
                awaited.push(AwaitedResult::CodeResult { is_error: result.outcome.is_error() });
            } else if is_clients(step) {
                let run = self.client_steps_around(at);
                next = run.end;
                awaited.extend(self.answers(&run).map(AwaitedResult::FunctionResults));
            }
            at = next;
        }
        awaited
    }

    /// Whether the newest result is a failed run.
    pub fn last_run_failed(self) -> bool {
        self.steps().iter().rev().find_map(|step| match step {
            Step::CodeResult(result) => Some(result.outcome.is_error()),
            Step::FunctionResult(_) | Step::UserInput(_) => Some(false),
            _ => None,
        }) == Some(true)
    }

    /// Whether the last steps are the client's, so that an interaction begins.
    pub fn begins(self) -> bool {
        self.steps().last().is_none_or(is_clients)
    }

    /// The variables of templates. Variables without a value yet are left out, so that using one is
    /// an error.
    pub fn names(self) -> Value {
        let mut names = vec![
            ("input", Value::from(self.input())),
            ("turn", Value::from(self.turn())),
            ("model", Value::from(self.prompt.model.as_str())),
            ("files", self.prompt.files.iter().map(file).collect()),
        ];
        let (mut runs, mut answers) = (Vec::new(), Vec::new());
        for step in self.steps() {
            match step {
                Step::CodeResult(result) => {
                    runs.push(run(result));
                    names.push(("result", result.result.as_str().into()));
                    names.push(("stdout", result.stdout.as_str().into()));
                    names.push(("images", result.images.into()));
                    names.push(("is_error", result.outcome.is_error().into()));
                }
                Step::FunctionResult(result) => {
                    let answer = Value::from(Serde(plain(&result.result)));
                    answers.push(answer.clone());
                    names.push(("function_result", answer));
                    names.push(("is_error", result.is_error.into()));
                }
                _ => {}
            }
        }
        names.push(("results", runs.into_iter().collect()));
        names.push(("function_results", answers.into_iter().collect()));
        // If several pairs have the same name, the last one is used.
        Value::from_pairs(names)
    }

    /// The newest user text.
    pub fn input(self) -> &'a str {
        &self.read.input().0
    }

    /// Number of user turns.
    pub fn turn(self) -> usize {
        self.steps().iter().filter(|step| matches!(step, Step::UserInput(_))).count()
    }

    /// The client's messages before these steps.
    pub fn earlier(self, start: &Range<usize>) -> &'a [ClientMessage] {
        self.read.within(0..start.start)
    }

    /// The function results among these steps.
    pub fn results(self, at: Range<usize>) -> Vec<&'a ClientMessage> {
        let messages = self.read.within(at).iter();
        messages.filter(|message| matches!(message, ClientMessage::Result { .. })).collect()
    }

    fn client_steps_around(self, at: usize) -> Range<usize> {
        let (before, after) = self.steps().split_at(at);
        let first = before.iter().rposition(|step| !is_clients(step)).map_or(0, |last| last + 1);
        let more = after.iter().position(|step| !is_clients(step)).unwrap_or(after.len());
        first..at + more
    }

    fn steps(self) -> &'a [Step] {
        &self.prompt.steps
    }
}

fn is_clients(step: &Step) -> bool {
    matches!(step, Step::UserInput(_) | Step::FunctionResult(_))
}

fn run(result: &CodeResult) -> Value {
    context! {
        result => &result.result,
        stdout => &result.stdout,
        images => result.images,
        is_error => result.outcome.is_error(),
    }
}

fn file(file: &InputFile) -> Value {
    context! { name => &file.name, mime_type => &file.mime_type, size => file.bytes }
}

/// A function result without its wrapping: clients send a value directly, as JSON in a string, or
/// as JSON in a list of text contents, and a template should not have to distinguish these.
pub fn plain(result: &Json) -> Json {
    let text = match result {
        Json::String(text) => text.clone(),
        Json::Array(contents) => {
            let texts: Option<Vec<&str>> =
                contents.iter().map(|content| content.get("text")?.as_str()).collect();
            match texts {
                Some(texts) if !texts.is_empty() => texts.join("\n"),
                _ => return result.clone(),
            }
        }
        _ => return result.clone(),
    };
    match parse::json::parse(text.as_bytes()) {
        Ok(structured @ (Json::Object(_) | Json::Array(_))) => structured,
        _ => Json::String(text),
    }
}
