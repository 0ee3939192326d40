//! Converts contents to steps: a conversation in this API's form into the engine's.
//!
//! A part has less information than a step. The call of a result may follow only from the order,
//! and the signature of a text is that of the thought before it.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use super::part::{self, ContentPart, PartData};
use crate::http::wire::WireError;
use crate::http::wire::input::{MAX_STEPS, too_many_steps};
use crate::http::wire::json_reader::Node;
use domain::ids;
use domain::interaction::{CodeCall, CodeResult, Content, FunctionCall, FunctionResult, Step};

/// Messages of the real service.
const NO_CONTENTS: &str = "* GenerateContentRequest.contents: contents is not specified\n";
const NO_PARTS: &str = "must not be empty";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    User,
    Model,
}

/// A content with its parts.
#[derive(Debug)]
pub struct ContentTurn {
    pub role: Role,
    pub parts: Vec<ContentPart>,
}

/// Parses a conversation, oldest first.
pub fn contents(node: Option<Node>) -> Result<Vec<Step>, WireError> {
    steps(turns(node)?)
}

/// The contents of a conversation, oldest first.
pub fn turns(node: Option<Node>) -> Result<Vec<ContentTurn>, WireError> {
    let nodes = node.map(one_or_many).transpose()?.unwrap_or_default();
    if nodes.is_empty() {
        return Err(WireError::Whole(NO_CONTENTS.to_owned()));
    }
    nodes.into_iter().map(turn).collect()
}

/// The steps of a conversation.
pub fn steps(turns: Vec<ContentTurn>) -> Result<Vec<Step>, WireError> {
    let mut history = History::default();
    for ContentTurn { role, parts } in turns {
        history.turn();
        for part in parts {
            history.add(role, part);
        }
    }
    if history.steps.len() > MAX_STEPS {
        return Err(too_many_steps());
    }
    Ok(history.steps)
}

/// The texts of a content, joined by line breaks. An instruction contains nothing else.
pub fn instruction(node: Node) -> Result<String, WireError> {
    let (_, parts) = parts(node)?;
    let mut texts = Vec::new();
    for node in parts {
        let mistake = node.wrong("an instruction must be text");
        match part::read(node)?.data {
            PartData::Content(Content::Text { text, .. }) => texts.push(text),
            _ => return Err(mistake),
        }
    }
    Ok(texts.join("\n"))
}

pub fn turn(node: Node) -> Result<ContentTurn, WireError> {
    let (role, parts) = parts(node)?;
    let parts = parts.into_iter().map(part::read).collect::<Result<_, _>>()?;
    Ok(ContentTurn { role, parts })
}

fn parts(node: Node) -> Result<(Role, Vec<Node>), WireError> {
    let mut fields = node.object()?.camel()?;
    let role = match fields.take("role") {
        Some(node) => match node.value().as_str() {
            // `function` was the role of results before `user`.
            Some("user" | "function" | "") => Role::User,
            Some("model") => Role::Model,
            Some(_) => return Err(node.wrong("Please use a valid role: user, model")),
            None => return Err(node.not("a string")),
        },
        None => Role::User,
    };
    let missing = fields.wrong(format!("its parts {NO_PARTS}"));
    let parts = fields.take("parts").map(one_or_many).transpose()?.unwrap_or_default();
    fields.done()?;
    if parts.is_empty() { Err(missing) } else { Ok((role, parts)) }
}

/// Old examples have one object instead of a list.
pub fn one_or_many(node: Node) -> Result<Vec<Node>, WireError> {
    match node.value() {
        Value::Object(_) => Ok(vec![node]),
        _ => node.list(),
    }
}

/// The steps so far, and the state that later parts need.
#[derive(Debug, Default)]
struct History {
    steps: Vec<Step>,
    /// Whether the next content starts a new message.
    starts_message: bool,
    calls: Calls,
}

/// The calls so far, indexed by what a later part may refer to.
#[derive(Debug, Default)]
struct Calls {
    last_code: String,
    ids: HashSet<String>,
    /// For each function, its unanswered calls in order.
    by_function: HashMap<String, VecDeque<String>>,
    answered: HashSet<String>,
}

impl Calls {
    fn called(&mut self, call: &FunctionCall) {
        self.ids.insert(call.id.clone());
        self.by_function.entry(call.name.clone()).or_default().push_back(call.id.clone());
    }

    /// The oldest unanswered call of this function.
    fn waiting_for(&mut self, result: &FunctionResult) -> String {
        let calls = result.name.as_ref().and_then(|name| self.by_function.get_mut(name));
        let Some(calls) = calls else { return String::new() };
        while calls.front().is_some_and(|id| self.answered.contains(id)) {
            calls.pop_front();
        }
        calls.front().cloned().unwrap_or_default()
    }
}

impl History {
    fn turn(&mut self) {
        self.starts_message = true;
    }

    fn add(&mut self, role: Role, ContentPart { data, signature }: ContentPart) {
        let signature = signature.unwrap_or_default();
        match data {
            // It carries no information.
            PartData::Thought(summary) if summary.is_empty() && signature.is_empty() => {}
            PartData::Thought(summary) => self.steps.push(Step::Thought { summary, signature }),
            PartData::Content(content) => self.content(role, content, signature),
            PartData::Code(call) => {
                let call = CodeCall { id: or_fresh(call.id), signature, ..call };
                self.calls.last_code.clone_from(&call.id);
                self.steps.push(Step::CodeCall(call));
            }
            PartData::CodeResult(result) => {
                let call_id = Some(result.call_id).filter(|id| !id.is_empty());
                let call_id = call_id.unwrap_or_else(|| self.calls.last_code.clone());
                self.steps.push(Step::CodeResult(CodeResult { call_id, ..result }));
            }
            PartData::FunctionCall(call) => {
                let call = FunctionCall { id: or_fresh(call.id), signature, ..call };
                self.calls.called(&call);
                self.steps.push(Step::FunctionCall(call));
            }
            PartData::FunctionResult(result) => {
                // The id is optional in both the call and the result; without it, the name
                // identifies the call.
                let call_id = Some(result.call_id.clone()).filter(|id| self.calls.ids.contains(id));
                let call_id = call_id.unwrap_or_else(|| self.calls.waiting_for(&result));
                self.calls.answered.insert(call_id.clone());
                self.steps.push(Step::FunctionResult(FunctionResult { call_id, ..result }));
            }
            PartData::Passthrough(part) => self.steps.push(Step::Passthrough(part)),
        }
    }

    /// Contents of one message are grouped.
    fn content(&mut self, role: Role, content: Content, signature: String) {
        if !signature.is_empty() {
            self.steps.push(Step::Thought { summary: String::new(), signature });
        }
        let is_empty = matches!(&content, Content::Text { text, .. } if text.is_empty());
        if is_empty && role == Role::Model {
            return;
        }
        let starts_message = std::mem::replace(&mut self.starts_message, false);
        match (role, self.steps.last_mut()) {
            (Role::User, Some(Step::UserInput(message))) if !starts_message => {
                message.push(content)
            }
            (Role::Model, Some(Step::ModelOutput(message))) if !starts_message => {
                message.push(content)
            }
            (Role::User, _) => self.steps.push(Step::UserInput(vec![content])),
            (Role::Model, _) => self.steps.push(Step::ModelOutput(vec![content])),
        }
    }
}

fn or_fresh(id: String) -> String {
    if id.is_empty() { ids::call() } else { id }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use domain::interaction::Outcome;

    fn read(json: Value) -> Result<Vec<Step>, String> {
        let mut body = Node::root(json!({"contents": json})).object().expect("it is one");
        contents(body.take("contents")).map_err(|error| error.to_string())
    }

    fn user(text: &str) -> Step {
        Step::UserInput(vec![Content::text(text)])
    }

    #[test]
    fn a_message_is_one_step_with_its_role() {
        let hello = json!([{"text": "a"}, {"text": "b"}]);
        let message = Step::UserInput(vec![Content::text("a"), Content::text("b")]);
        for role in [json!("user"), json!(null), json!(""), json!("function")] {
            let steps = read(json!([{"role": role, "parts": hello}]));
            assert_eq!(steps, Ok(vec![message.clone()]), "{role}");
        }
        assert_eq!(read(json!({"parts": {"text": "a"}})), Ok(vec![user("a")]), "old examples");
        let steps = read(json!([
            {"role": "user", "parts": [{"text": "a"}]}, {"role": "user", "parts": [{"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}]},
        ]));
        let output = Step::ModelOutput(vec![Content::text("c")]);
        assert_eq!(steps, Ok(vec![user("a"), user("b"), output]));
    }

    #[test]
    fn a_history_with_code_becomes_its_steps() {
        let steps = read(json!([
            {"role": "user", "parts": [{"text": "6 * 7?"}]},
            {"role": "model", "parts": [
                {"thought": true}, {"text": "Hm.", "thought": true},
                {"executableCode": {"language": "PYTHON", "code": "print(42)"}, "thoughtSignature": "s1"},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}},
                {"text": "It is 42."}, {"text": "", "thoughtSignature": "s2"}]},
            {"role": "user", "parts": [{"text": "And?"}]},
        ]));
        let steps = steps.expect("it is valid");
        let [
            _,
            Step::Thought { summary, .. },
            Step::CodeCall(call),
            Step::CodeResult(result),
            rest @ ..,
        ] = &steps[..]
        else {
            panic!("{steps:?}");
        };
        assert_eq!((&**summary, &*call.signature), ("Hm.", "s1"));
        assert_eq!((result.outcome, &*result.stdout), (Outcome::Ok, "42\n"));
        assert_eq!(
            (call.id.len(), &call.id),
            (8, &result.call_id),
            "the result refers to the call"
        );
        let [Step::ModelOutput(data), Step::Thought { signature, .. }, Step::UserInput(_)] = rest
        else {
            panic!("{rest:?}");
        };
        assert_eq!((data.len(), &**signature), (2, "s2"));
    }

    #[test]
    fn a_call_without_an_id_is_found_by_its_name() {
        let call = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
        let result = |name: &str| json!({"functionResponse": {"name": name, "response": {"a": 1}}});
        let steps = read(json!([
            {"role": "user", "parts": [{"text": "?"}]},
            {"role": "model", "parts": [call("f"), call("g"), call("f")]},
            {"role": "user", "parts": [result("f"), result("f"), result("g")]},
        ]));
        let steps = steps.expect("it is valid");
        let calls = steps.iter().filter_map(|step| match step {
            Step::FunctionCall(call) => Some(&call.id),
            _ => None,
        });
        let results = steps.iter().filter_map(|step| match step {
            Step::FunctionResult(result) => Some(&result.call_id),
            _ => None,
        });
        let (calls, results): (Vec<_>, Vec<_>) = (calls.collect(), results.collect());
        assert_eq!(results, [calls[0], calls[2], calls[1]]);
    }

    #[test]
    fn an_unknown_id_counts_as_missing() {
        let answer = |call: Value, result: Value| {
            let steps = read(json!([
                {"role": "user", "parts": [{"text": "?"}]},
                {"role": "model", "parts": [{"functionCall": call}]},
                {"role": "user", "parts": [{"functionResponse": result}]},
            ]));
            match &steps.expect("it is valid")[..] {
                [_, Step::FunctionCall(call), Step::FunctionResult(result)] => {
                    (call.id.clone(), result.call_id.clone())
                }
                other => panic!("{other:?}"),
            }
        };
        for (call, result) in [
            (json!({"name": "f", "id": "a"}), json!({"name": "f", "id": "a"})),
            (json!({"name": "f", "id": "a"}), json!({"name": "f"})),
            (json!({"name": "f"}), json!({"name": "f", "id": "a"})),
        ] {
            let (called, answered) = answer(call, result);
            assert_eq!(called, answered);
        }
        let (_, answered) =
            answer(json!({"name": "f", "id": "a"}), json!({"name": "g", "id": "b"}));
        assert_eq!(answered, "", "it has no call");
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (json, wanted) in [
            (json!(null), "contents is not specified"),
            (json!([]), "contents is not specified"),
            (json!("hello"), "Invalid type for 'contents': expected a list, got a string."),
            (json!([{"role": "user"}]), "Invalid value for 'contents[0]': its parts must not be"),
            (json!([{"role": "user", "parts": []}]), "its parts must not be empty"),
            (
                json!([{"role": "system", "parts": [{"text": "a"}]}]),
                "Invalid value for 'contents[0].role': Please use a valid role: user, model.",
            ),
            (
                json!([{"parts": [{"text": "a"}, {"txt": "b"}]}]),
                "Unknown parameter 'contents[0].parts[1].txt'.",
            ),
        ] {
            let error = read(json.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{json} gave {error}");
        }
    }
}
