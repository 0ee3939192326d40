//! `input`: a text, a content, a step, or a list of contents and steps. The SDKs send all of these.

use serde_json::Value;

use super::WireError;
use super::content::{self, Strange};
use super::node::{Fields, Node};
use super::step;
use crate::interaction::{Content, Step};

/// What a client reads that has lost what it was to send back.
const UNSIGNED: &str = "a function call has to come back with the 'signature' that it came with, which \
                        is base64; send the steps of the model as they were";

/// Steps of one request, and contents of one step.
pub const MAX_STEPS: usize = 10_000;

/// Reads the input. Contents in a row are one message of the user's.
pub fn input(node: Node) -> Result<Vec<Step>, WireError> {
    let steps = match node.value() {
        Value::String(_) => vec![Step::UserInput(vec![Content::text(node.string()?)])],
        Value::Object(_) => together([node])?,
        Value::Array(_) => together(node.list()?)?,
        _ => return Err(node.not("a string, an object or a list")),
    };
    if steps.len() > MAX_STEPS {
        return Err(too_many_steps());
    }
    if steps.iter().any(says_something) {
        Ok(steps)
    } else {
        Err(WireError::Whole("Request has empty input.".to_owned()))
    }
}

pub fn too_many_steps() -> WireError {
    WireError::Whole(format!("A request can have at most {MAX_STEPS} steps."))
}

/// What an element of the list turned out to be.
enum Element {
    Content(Content),
    Step(Step),
}

fn together(nodes: impl IntoIterator<Item = Node>) -> Result<Vec<Step>, WireError> {
    let mut steps = Vec::new();
    let mut message = Vec::new();
    for node in nodes {
        let fields = node.object()?;
        let is_call = fields.kind() == Some("function_call");
        let unsigned = is_call.then(|| fields.wrong(UNSIGNED));
        match element(fields)? {
            Element::Content(content) => message.push(content),
            Element::Step(step) => {
                steps.extend(said(&mut message));
                if let Some(unsigned) = unsigned
                    && !is_signed(&step, steps.last())
                {
                    return Err(unsigned);
                }
                steps.push(step);
            }
        }
    }
    steps.extend(said(&mut message));
    Ok(steps)
}

/// Whether a call of a function may come back as it is. The real service signs the first of several
/// that stand side by side, and refuses a history without it. Other steps may come without.
fn is_signed(step: &Step, before: Option<&Step>) -> bool {
    match step {
        Step::FunctionCall(call) if call.signature.is_empty() => {
            matches!(before, Some(Step::FunctionCall(_)))
        }
        Step::FunctionCall(call) => content::is_base64(&call.signature),
        _ => true,
    }
}

fn element(fields: Fields) -> Result<Element, WireError> {
    let is_content = match fields.kind() {
        Some(kind) => content::is_content(kind),
        None if fields.has("role") => return Ok(Element::Step(turn(fields)?)),
        None => fields.has("text"),
    };
    if is_content {
        content::content(fields, Strange::Refuse).map(Element::Content)
    } else {
        step::step(fields).map(Element::Step)
    }
}

/// `{"role": …, "content": …}`, as clients of 2025 sent it.
fn turn(mut fields: Fields) -> Result<Step, WireError> {
    let role = fields.require("role")?.one_of(&["user", "model"])?;
    let content = fields.require("content")?;
    let turn = match role.as_str() {
        "user" => Step::UserInput(content::contents(content, Strange::Refuse)?),
        _ => Step::ModelOutput(content::contents(content, Strange::Keep)?),
    };
    fields.done()?;
    Ok(turn)
}

fn said(message: &mut Vec<Content>) -> Option<Step> {
    (!message.is_empty()).then(|| Step::UserInput(std::mem::take(message)))
}

/// Whether there is anything in a step that a model could answer.
fn says_something(step: &Step) -> bool {
    match step {
        Step::FunctionResult(_) => true,
        Step::UserInput(contents) => contents
            .iter()
            .any(|content| !matches!(content, Content::Text { text, .. } if text.is_empty())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<Vec<Step>, String> {
        let body = Node::root(json!({"input": json}));
        let node = body.object().expect("it is one").require("input").expect("it is there");
        input(node).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_of_a_message_is_the_same_message() {
        let wanted = vec![Step::UserInput(vec![Content::text("hello")])];
        for form in [
            json!("hello"),
            json!({"type": "text", "text": "hello"}),
            json!({"text": "hello"}),
            json!({"type": "user_input", "content": [{"type": "text", "text": "hello"}]}),
            json!({"type": "user_input", "content": "hello"}),
            json!([{"type": "text", "text": "hello"}]),
            json!([{"type": "user_input", "content": [{"type": "text", "text": "hello"}]}]),
            json!([{"role": "user", "content": "hello"}]),
            json!([{"role": "user", "content": [{"type": "text", "text": "hello"}]}]),
        ] {
            assert_eq!(read(form.clone()).as_ref(), Ok(&wanted), "{form}");
        }
    }

    #[test]
    fn contents_in_a_row_are_one_message_and_steps_stand_between() {
        let steps = read(json!([
            {"text": "a"}, {"text": "b"},
            {"role": "model", "content": "c"},
            {"type": "text", "text": "d"},
        ]));
        assert_eq!(
            steps.expect("it is right"),
            [
                Step::UserInput(vec![Content::text("a"), Content::text("b")]),
                Step::ModelOutput(vec![Content::text("c")]),
                Step::UserInput(vec![Content::text("d")]),
            ]
        );
    }

    #[test]
    fn a_call_comes_back_with_its_signature_and_the_ones_beside_it_without() {
        let call = |signature: Value| json!({"type": "function_call", "id": "f", "name": "f", "signature": signature});
        let result = json!({"type": "function_result", "call_id": "f", "result": "r"});
        for input in [
            json!([{"text": "?"}, call(json!("c2ln")), call(json!(null)), call(json!("")), result]),
            json!([{"text": "?"}, call(json!("skip_thought_signature_validator")), result]),
            json!([result]),
        ] {
            read(input.clone()).unwrap_or_else(|error| panic!("{input} gave {error}"));
        }
        for (input, place) in [
            (json!([{"text": "?"}, call(json!(null)), result]), "input[1]"),
            (json!([{"text": "?"}, call(json!("")), result]), "input[1]"),
            (json!([{"text": "?"}, call(json!("c2ln")), result, call(json!(null))]), "input[3]"),
            (json!([{"text": "?"}, call(json!("¡no!")), result]), "input[1]"),
            (json!([{"text": "?"}, call(json!("c2ln")), call(json!("¡no!")), result]), "input[2]"),
        ] {
            let error = read(input.clone()).expect_err("it was accepted");
            let wanted = format!("Invalid value for '{place}': a function call has to come back");
            assert!(error.starts_with(&wanted), "{input} gave {error}");
        }
    }

    #[test]
    fn an_input_that_says_nothing_is_refused() {
        for empty in [
            json!(""),
            json!([]),
            json!({"text": ""}),
            json!([{"type": "user_input", "content": []}]),
            json!([{"role": "model", "content": "I said."}]),
        ] {
            let error = read(empty.clone()).expect_err("it was accepted");
            assert_eq!(error, "Request has empty input.", "{empty}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (input, wanted) in [
            (
                json!(7),
                "Invalid type for 'input': expected a string, an object or a list, got a number.",
            ),
            (
                json!([{"text": "a"}, 7]),
                "Invalid type for 'input[1]': expected an object, got a number.",
            ),
            (
                json!([{"role": "robot", "content": "a"}]),
                "Invalid value for 'input[0].role': 'robot' is none of user, model.",
            ),
            (json!([{}]), "Missing required parameter 'input[0].type'."),
            (
                json!([{"type": "user_input", "content": [{"type": "text", "text": "a"}, {"type": "image", "data": "?"}]}]),
                "Invalid value for 'input[0].content[1].data': it is not base64",
            ),
            (
                json!([{"type": "user_input", "content": "a", "id": "x"}]),
                "Unknown parameter 'input[0].id'.",
            ),
        ] {
            let error = read(input.clone()).expect_err("it was accepted");
            assert!(error.contains(wanted), "{input} gave {error}");
        }
    }
}
