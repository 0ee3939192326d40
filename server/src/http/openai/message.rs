//! `messages`: a conversation, converted to the contents of `generateContent`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::content::{contents, text};
use crate::http::generate_content::content::{ContentTurn, Role};
use crate::http::generate_content::part::{ContentPart, PartData};
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use domain::interaction::{Content, FunctionCall, FunctionResult};
use parse::json;

/// Message of the real service, whose `contents` are the messages.
const NO_MESSAGES: &str = "* GenerateContentRequest.contents: contents is not specified\n";

/// A conversation without its instructions, and these.
#[derive(Debug, Default)]
pub struct Messages {
    pub instruction: Option<String>,
    pub turns: Vec<ContentTurn>,
}

pub fn messages(node: Node) -> Result<Messages, WireError> {
    let mut read = MessageReader::default();
    for node in node.list()? {
        read.message(node)?;
    }
    let MessageReader { instructions, turns, .. } = read;
    if turns.is_empty() {
        return Err(WireError::Whole(NO_MESSAGES.to_owned()));
    }
    let instruction = instructions.join("\n");
    Ok(Messages { instruction: Some(instruction).filter(|text| !text.is_empty()), turns })
}

/// The messages so far, and the state that later ones need.
#[derive(Debug, Default)]
struct MessageReader {
    instructions: Vec<String>,
    turns: Vec<ContentTurn>,
    /// Names of the called functions, by the id of the call.
    called: HashMap<String, String>,
    /// Whether the last message was the result of a call: all results of a turn are one content.
    answers: bool,
}

impl MessageReader {
    fn message(&mut self, node: Node) -> Result<(), WireError> {
        let mut fields = node.object()?;
        let role = fields.require("role")?.one_of(&[
            "system",
            "developer",
            "user",
            "assistant",
            "tool",
        ])?;
        // The participant's name, which Google's form has no place for.
        fields.string("name")?;
        let answers = std::mem::replace(&mut self.answers, role == "tool");
        match role.as_str() {
            "user" => {
                let parts = contents(fields.require("content")?)?;
                self.turns.push(ContentTurn { role: Role::User, parts });
            }
            "assistant" => {
                let parts = self.assistant(&mut fields)?;
                self.turns.push(ContentTurn { role: Role::Model, parts });
            }
            "tool" => {
                let part = self.result(&mut fields)?;
                match self.turns.last_mut() {
                    Some(turn) if answers => turn.parts.push(part),
                    _ => self.turns.push(ContentTurn { role: Role::User, parts: vec![part] }),
                }
            }
            _ => self.instructions.push(text(fields.require("content")?)?),
        }
        fields.done()
    }

    fn assistant(&mut self, fields: &mut ObjectReader) -> Result<Vec<ContentPart>, WireError> {
        let mut parts = Vec::new();
        let signature = fields.take("extra_content").map(signature).transpose()?.flatten();
        let content = fields.take("content").map(text).transpose()?.unwrap_or_default();
        if !content.is_empty() || signature.is_some() {
            parts.push(ContentPart { data: PartData::Content(Content::text(content)), signature });
        }
        // Clients send answers back as they got them.
        fields.string("refusal")?;
        fields.take("annotations").map(Node::list).transpose()?;
        for node in fields.take("tool_calls").map(Node::list).transpose()?.unwrap_or_default() {
            parts.push(self.call(node)?);
        }
        Ok(parts)
    }

    fn call(&mut self, node: Node) -> Result<ContentPart, WireError> {
        let mut fields = node.object()?;
        let id = fields.require("id")?.string()?;
        if let Some(kind) = fields.take("type") {
            kind.one_of(&["function"])?;
        }
        // Calls that were collected from a stream have it.
        if let Some(index) = fields.take("index") {
            index.integer()?;
        }
        let signature = fields.take("extra_content").map(signature).transpose()?.flatten();
        let mut function = fields.require("function")?.object()?;
        let name = function.require("name")?.string()?;
        let arguments = function.take("arguments").map(arguments).transpose()?;
        function.done()?;
        fields.done()?;
        self.called.insert(id.clone(), name.clone());
        let call = FunctionCall {
            id,
            name,
            arguments: arguments.unwrap_or_else(|| json!({})),
            signature: String::new(),
        };
        Ok(ContentPart { data: PartData::FunctionCall(call), signature })
    }

    fn result(&self, fields: &mut ObjectReader) -> Result<ContentPart, WireError> {
        let id = fields.require("tool_call_id")?;
        let unknown = id.wrong("no message before it has a tool call with this id");
        let call_id = id.string()?;
        let name = self.called.get(&call_id).ok_or(unknown)?.clone();
        let result = text(fields.require("content")?)?.into();
        let result = FunctionResult { call_id, name: Some(name), result, is_error: false };
        Ok(ContentPart { data: PartData::FunctionResult(result), signature: None })
    }
}

/// The JSON text of a call's arguments.
fn arguments(node: Node) -> Result<Value, WireError> {
    let wrong = node.wrong("the arguments must be the text of a JSON object");
    let text = node.string()?;
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    let value = json::parse(text.as_bytes()).ok().filter(Value::is_object);
    value.ok_or(wrong)
}

/// `{"google": {"thought_signature": "c2ln"}}`
fn signature(node: Node) -> Result<Option<String>, WireError> {
    let mut fields = node.object()?;
    let mut signature = None;
    if let Some(google) = fields.take("google") {
        let mut google = google.object()?;
        signature = google.string("thought_signature")?.filter(|text| !text.is_empty());
        google.done()?;
    }
    fields.done()?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::generate_content::content::steps;
    use domain::interaction::Step;
    use domain::interaction::{Media, MediaKind, Source};

    fn read(messages: Value) -> Result<Messages, String> {
        let mut body = Node::root(json!({"messages": messages})).object().expect("it is one");
        let node = body.require("messages").expect("it is there");
        super::messages(node).map_err(|error| error.to_string())
    }

    fn steps_of(messages: Value) -> Vec<Step> {
        steps(read(messages).expect("it is valid").turns).expect("they are few")
    }

    #[test]
    fn instructions_are_joined_wherever_they_are() {
        let messages = read(json!([
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}]));
        let messages = messages.expect("it is valid");
        assert_eq!(messages.instruction.as_deref(), Some("Be brief.\nBe kind."));
        assert_eq!(messages.turns.len(), 1);
    }

    #[test]
    fn results_of_one_turn_are_one_content_and_get_the_names_of_their_calls() {
        let call = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{\"a\":1}"}});
        let steps = steps_of(json!([
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "I ask.", "refusal": null, "tool_calls": [
                call("1", "f"), call("2", "g")]},
            {"role": "tool", "tool_call_id": "2", "content": "two"},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "one"}]},
        ]));
        let [
            _,
            Step::ModelOutput(_),
            Step::FunctionCall(first),
            _,
            Step::FunctionResult(two),
            Step::FunctionResult(one),
        ] = &steps[..]
        else {
            panic!("{steps:?}");
        };
        assert_eq!(first.arguments, json!({"a": 1}));
        assert_eq!((two.name.as_deref(), &two.result), (Some("g"), &json!("two")));
        assert_eq!((one.call_id.as_str(), &one.result), ("1", &json!("one")));
    }

    #[test]
    fn a_signature_comes_back_beside_its_call() {
        let call = json!({"id": "1", "function": {"name": "f", "arguments": ""},
                          "extra_content": {"google": {"thought_signature": "c2ln"}}});
        let turns = read(json!([{"role": "user", "content": "?"},
                                {"role": "assistant", "tool_calls": [call]}]));
        let turns = turns.expect("it is valid").turns;
        assert_eq!(turns[1].parts[0].signature.as_deref(), Some("c2ln"));
    }

    #[test]
    fn media_are_inline_uploaded_or_at_an_address() {
        let steps = steps_of(json!([{"role": "user", "content": [
            {"type": "text", "text": "?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,AAAA"}},
            {"type": "file", "file": {"file_id": "abc"}},
        ]}]));
        let [Step::UserInput(contents)] = &steps[..] else { panic!("{steps:?}") };
        let media: Vec<_> = contents
            .iter()
            .filter_map(|content| match content {
                Content::Media(Media { kind, mime_type, source }) => {
                    let uri = match source {
                        Source::Uri(uri) => Some(uri.as_str()),
                        Source::Inline(_) => None,
                    };
                    Some((*kind, mime_type.as_deref(), uri))
                }
                _ => None,
            })
            .collect();
        assert_eq!(
            media,
            [
                (MediaKind::Image, Some("image/png"), None),
                (MediaKind::Image, None, Some("https://example.org/a.png")),
                (MediaKind::Audio, Some("audio/wav"), None),
                (MediaKind::Document, Some("text/csv"), None),
                (MediaKind::Document, None, Some("files/abc")),
            ]
        );
    }

    #[test]
    fn an_invalid_message_is_named_with_its_path() {
        let user = |content: Value| json!([{"role": "user", "content": content}]);
        for (messages, wanted) in [
            (json!([]), NO_MESSAGES),
            (json!([{"role": "system", "content": "a"}]), NO_MESSAGES),
            (json!([{"content": "a"}]), "Missing required parameter 'messages[0].role'."),
            (json!([{"role": "function", "content": "a"}]), "'function' is not one of system"),
            (user(json!(null)), "Missing required parameter 'messages[0].content'."),
            (user(json!([])), "Invalid value for 'messages[0].content': it must not be empty."),
            (user(json!([{"type": "video"}])), "'video' is not one of text, image_url"),
            (
                user(json!([{"type": "image_url", "image_url": {"url": "data:image/png,x"}}])),
                "Invalid value for 'messages[0].content[0].image_url.url': must be a 'data:' URL",
            ),
            (user(json!([{"type": "file", "file": {}}])), "needs either 'file_data' or 'file_id'"),
            (
                json!([{"role": "tool", "tool_call_id": "x", "content": "a"}]),
                "'messages[0].tool_call_id': no message before it has a tool call with this id.",
            ),
            (
                json!([{"role": "assistant", "tool_calls": [
                    {"id": "1", "function": {"name": "f", "arguments": "[1]"}}]}]),
                "'messages[0].tool_calls[0].function.arguments': the arguments must be the text",
            ),
            (
                json!([{"role": "user", "content": "a", "other": 1}]),
                "Unknown parameter 'messages[0].other'.",
            ),
        ] {
            let error = read(messages.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{messages} gave {error}");
        }
    }
}
