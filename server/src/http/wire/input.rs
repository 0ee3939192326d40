//! `input`: a text, a content, a step, or a list of contents and steps. The SDKs send all of these.

use serde_json::Value;

use super::WireError;
use super::content::{self, UnknownContent};
use super::json_reader::{Node, ObjectReader};
use super::step;
use domain::interaction::{Content, Step};

/// The error for a client that lost a signature.
const UNSIGNED: &str = "a function call must be sent back with its original 'signature', which \
                        is base64; send the model's steps unchanged";

/// Maximum number of steps of a request, and of contents of a step.
pub const MAX_STEPS: usize = 10_000;

/// Parses the input. Consecutive contents are one user message.
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
    if steps.iter().any(has_content) {
        Ok(steps)
    } else {
        Err(WireError::Whole("Request has empty input.".to_owned()))
    }
}

pub fn too_many_steps() -> WireError {
    WireError::Whole(format!("A request can have at most {MAX_STEPS} steps."))
}

/// A parsed element of the list.
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
                steps.extend(user_message(&mut message));
                if let Some(unsigned) = unsigned
                    && !is_signed(&step, steps.last())
                {
                    return Err(unsigned);
                }
                steps.push(step);
            }
        }
    }
    steps.extend(user_message(&mut message));
    Ok(steps)
}

/// Whether a function call has the signature that it needs. Like the real service, which signs the
/// first of several adjacent calls, rejects a history without it. Other steps need none.
fn is_signed(step: &Step, before: Option<&Step>) -> bool {
    match step {
        Step::FunctionCall(call) if call.signature.is_empty() => {
            matches!(before, Some(Step::FunctionCall(_)))
        }
        Step::FunctionCall(call) => content::is_base64(&call.signature),
        _ => true,
    }
}

fn element(fields: ObjectReader) -> Result<Element, WireError> {
    let is_content = match fields.kind() {
        Some(kind) => content::is_content(kind),
        None if fields.has("role") => return Ok(Element::Step(turn(fields)?)),
        None => fields.has("text"),
    };
    if is_content {
        content::content(fields, UnknownContent::Refuse).map(Element::Content)
    } else {
        step::step(fields).map(Element::Step)
    }
}

/// `{"role": …, "content": …}`, as clients of 2025 sent it.
fn turn(mut fields: ObjectReader) -> Result<Step, WireError> {
    let role = fields.require("role")?.one_of(&["user", "model"])?;
    let content = fields.require("content")?;
    let turn = match role.as_str() {
        "user" => Step::UserInput(content::contents(content, UnknownContent::Refuse)?),
        _ => Step::ModelOutput(content::contents(content, UnknownContent::Keep)?),
    };
    fields.done()?;
    Ok(turn)
}

fn user_message(message: &mut Vec<Content>) -> Option<Step> {
    (!message.is_empty()).then(|| Step::UserInput(std::mem::take(message)))
}

/// Whether a step has content for a model to answer.
fn has_content(step: &Step) -> bool {
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
    fn every_form_of_a_message_gives_the_same_message() {
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
    fn consecutive_contents_are_one_message_and_steps_separate_them() {
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
    fn the_first_of_adjacent_calls_needs_its_signature() {
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
            let error = read(input.clone()).expect_err("it is rejected");
            let wanted = format!("Invalid value for '{place}': a function call must be sent back");
            assert!(error.starts_with(&wanted), "{input} gave {error}");
        }
    }

    #[test]
    fn an_empty_input_is_rejected() {
        for empty in [
            json!(""),
            json!([]),
            json!({"text": ""}),
            json!([{"type": "user_input", "content": []}]),
            json!([{"role": "model", "content": "I user_message."}]),
        ] {
            let error = read(empty.clone()).expect_err("it is rejected");
            assert_eq!(error, "Request has empty input.", "{empty}");
        }
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
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
                "Invalid value for 'input[0].role': 'robot' is not one of user, model.",
            ),
            (json!([{}]), "Missing required parameter 'input[0].type'."),
            (
                json!([{"type": "user_input", "content": [{"type": "text", "text": "a"}, {"type": "image", "data": "?"}]}]),
                "Invalid value for 'input[0].content[1].data': not valid base64",
            ),
            (
                json!([{"type": "user_input", "content": "a", "id": "x"}]),
                "Unknown parameter 'input[0].id'.",
            ),
        ] {
            let error = read(input.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{input} gave {error}");
        }
    }
}
