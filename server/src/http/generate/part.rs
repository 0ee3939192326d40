//! Parts, as clients send them: what contents are made of.

use serde_json::{Value, json};

use super::proto;
use crate::http::wire::WireError;
use crate::http::wire::content::{decode, mime_type};
use crate::http::wire::node::{Fields, Node};
use crate::interaction::{
    CodeCall, CodeResult, Content, FunctionCall, FunctionResult, Media, MediaKind, Outcome, Source,
};

/// A part that was read. What the client left out is empty: [`super::content`] knows the parts
/// around it.
#[derive(Debug, PartialEq)]
pub struct Part {
    pub said: Said,
    /// Opaque, and handed back as it came.
    pub signature: Option<String>,
}

#[derive(Debug, PartialEq)]
pub enum Said {
    Thought(String),
    Content(Content),
    Code(CodeCall),
    CodeResult(CodeResult),
    FunctionCall(FunctionCall),
    FunctionResult(FunctionResult),
    /// A call of a tool that this server does not have, or its result.
    Foreign(Value),
}

/// What a part can hold. One of them, always.
const DATA: &[&str] = &[
    "text",
    "inlineData",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "functionCall",
    "functionResponse",
    "toolCall",
    "toolResponse",
];

/// What is said about a part to the eyes and ears of a model. Accepted, not used.
pub const ABOUT: &[&str] = &[
    "audioMetadata",
    "audioTranscription",
    "documentMetadata",
    "mediaProcessing",
    "mediaResolution",
    "partMetadata",
    "speechMetadata",
    "spreadsheetMetadata",
    "videoMetadata",
];

pub const OUTCOMES: [(&str, Outcome); 3] = [
    ("OUTCOME_OK", Outcome::Ok),
    ("OUTCOME_FAILED", Outcome::Failed),
    ("OUTCOME_DEADLINE_EXCEEDED", Outcome::DeadlineExceeded),
];

pub fn read(node: Node) -> Result<Part, WireError> {
    let mut fields = node.object()?.camel()?;
    let is_thought = fields.boolean("thought")?.unwrap_or(false);
    let signature = fields.string("thoughtSignature")?.filter(|signature| !signature.is_empty());
    for name in ABOUT {
        fields.take(name);
    }
    let mut data = DATA.iter().filter(|name| fields.has(name));
    let (kind, second) = (data.next().copied(), data.next());
    if let Some(second) = second {
        return Err(fields.wrong(format!("its data is set already, and '{second}' sets it again")));
    }
    let said = match kind {
        // Models think without a word, and clients drop what they do not know: Google's own tests
        // (python-genai, issue 830) send what is left.
        None if is_thought => Said::Thought(String::new()),
        // A stream ends with nothing but a signature, and clients keep that in their history.
        None if signature.is_some() => Said::Content(Content::text("")),
        None => {
            let empty = fields.wrong("required oneof field 'data' must have one initialized field");
            fields.done()?;
            return Err(empty);
        }
        Some("text") => {
            let text = fields.require("text")?.string()?;
            if is_thought { Said::Thought(text) } else { Said::Content(Content::text(text)) }
        }
        Some("inlineData") => inline(message(&mut fields, "inlineData")?)?,
        Some("fileData") => file(message(&mut fields, "fileData")?)?,
        Some("executableCode") => code(message(&mut fields, "executableCode")?)?,
        Some("codeExecutionResult") => result(message(&mut fields, "codeExecutionResult")?)?,
        Some("functionCall") => function_call(message(&mut fields, "functionCall")?)?,
        Some("functionResponse") => function_result(message(&mut fields, "functionResponse")?)?,
        Some(_) => return Ok(Part { said: Said::Foreign(fields.into_value()), signature }),
    };
    fields.done()?;
    Ok(Part { said, signature })
}

fn message(fields: &mut Fields, name: &str) -> Result<Fields, WireError> {
    fields.require(name)?.object()?.camel()
}

fn inline(mut fields: Fields) -> Result<Said, WireError> {
    let data = decode(fields.require("data")?)?;
    let mime_type = match fields.take("mimeType") {
        Some(node) => Some(mime_type(node)?),
        None => infer::get(&data).map(|kind| kind.mime_type().to_owned()),
    };
    fields.string("displayName")?;
    fields.done()?;
    Ok(media(mime_type, Source::Inline(data)))
}

fn file(mut fields: Fields) -> Result<Said, WireError> {
    let uri = fields.require("fileUri")?.string()?;
    let mime_type = fields.take("mimeType").map(mime_type).transpose()?;
    fields.string("displayName")?;
    fields.done()?;
    Ok(media(mime_type, Source::Uri(uri)))
}

fn media(mime_type: Option<String>, source: Source) -> Said {
    let kind = match mime_type.as_deref().and_then(|name| name.split('/').next()) {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    };
    Said::Content(Content::Media(Media { kind, mime_type, source }))
}

fn code(mut fields: Fields) -> Result<Said, WireError> {
    let code = fields.require("code")?.string()?;
    if let Some(language) = fields.take("language") {
        proto::LANGUAGE.one_of(language, &["python"])?;
    }
    let id = fields.string("id")?.unwrap_or_default();
    fields.done()?;
    Ok(Said::Code(CodeCall { id, code, signature: String::new() }))
}

fn result(mut fields: Fields) -> Result<Said, WireError> {
    let outcome =
        fields.take("outcome").map(|node| proto::OUTCOME.one_of(node, &[])).transpose()?;
    let outcome = outcome.unwrap_or_default();
    let outcome = OUTCOMES.iter().find(|(name, _)| *name == outcome);
    let outcome = outcome.map_or(Outcome::Ok, |(_, outcome)| *outcome);
    let result = fields.string("output")?.unwrap_or_default();
    let call_id = fields.string("id")?.unwrap_or_default();
    fields.done()?;
    Ok(Said::CodeResult(CodeResult {
        call_id,
        outcome,
        stdout: if outcome.is_error() { String::new() } else { result.clone() },
        result,
        images: 0,
        signature: String::new(),
    }))
}

fn function_call(mut fields: Fields) -> Result<Said, WireError> {
    let call = FunctionCall {
        id: fields.string("id")?.unwrap_or_default(),
        name: fields.require("name")?.string()?,
        arguments: fields.object("args")?.unwrap_or_else(|| json!({})),
        signature: String::new(),
    };
    // Of calls that come in pieces, which this server does not send.
    fields.take("partialArgs");
    fields.boolean("willContinue")?;
    fields.done()?;
    Ok(Said::FunctionCall(call))
}

fn function_result(mut fields: Fields) -> Result<Said, WireError> {
    if fields.has("parts") {
        let why = "pictures and other parts in a function's response are not supported by this \
                   server";
        return Err(fields.wrong(why));
    }
    let result = FunctionResult {
        call_id: fields.string("id")?.unwrap_or_default(),
        name: Some(fields.require("name")?.string()?),
        result: fields.object("response")?.unwrap_or_else(|| json!({})),
        is_error: false,
    };
    // Of functions that go on while the model speaks.
    fields.boolean("willContinue")?;
    fields.take("scheduling").map(|node| proto::SCHEDULING.word(node)).transpose()?;
    fields.done()?;
    Ok(Said::FunctionResult(result))
}

#[cfg(test)]
mod tests {
    use super::super::say::{of_code, of_code_result, of_media};
    use super::*;

    fn part(json: Value) -> Result<Part, String> {
        read(Node::root(json)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_said_reads_as_what_it_was() {
        let media = Media {
            kind: MediaKind::Image,
            mime_type: Some("image/png".into()),
            source: Source::Inline(b"png".as_slice().into()),
        };
        let read = part(of_media(&media)).expect("we wrote it");
        assert_eq!(read.said, Said::Content(Content::Media(media)));

        let read = part(of_code("c", "print(1)", "c2ln")).expect("we wrote it");
        let Said::Code(call) = read.said else { panic!("{:?}", read.said) };
        assert_eq!((&*call.id, &*call.code), ("c", "print(1)"));
        assert_eq!(read.signature.as_deref(), Some("c2ln"));

        for outcome in [Outcome::Ok, Outcome::Failed, Outcome::DeadlineExceeded] {
            let wanted = CodeResult {
                call_id: "c".into(),
                outcome,
                result: "r".into(),
                stdout: if outcome == Outcome::Ok { "r".into() } else { String::new() },
                images: 0,
                signature: String::new(),
            };
            let read = part(of_code_result(&wanted)).expect("we wrote it");
            assert_eq!(read.said, Said::CodeResult(wanted));
        }
    }

    #[test]
    fn both_spellings_are_one_part() {
        let uri = Media {
            kind: MediaKind::Document,
            mime_type: Some("text/csv".into()),
            source: Source::Uri("files/x".into()),
        };
        let wanted = Part { said: Said::Content(Content::Media(uri)), signature: None };
        for json in [
            json!({"fileData": {"fileUri": "files/x", "mimeType": "text/csv"}}),
            json!({"fileData": {"file_uri": "files/x", "mime_type": "text/csv"}}),
            json!({"file_data": {"file_uri": "files/x", "mimeType": "text/csv; header"}}),
        ] {
            assert_eq!(part(json.clone()).as_ref(), Ok(&wanted), "{json}");
        }
    }

    #[test]
    fn a_thought_may_be_without_a_word() {
        let silent = |signature: Option<&str>| Part {
            said: Said::Thought(String::new()),
            signature: signature.map(str::to_owned),
        };
        assert_eq!(part(json!({"thought": true})), Ok(silent(None)));
        let signed = json!({"thought": true, "thoughtSignature": "c2ln"});
        assert_eq!(part(signed), Ok(silent(Some("c2ln"))));
        let error = part(json!({"thought": false})).expect_err("there is nothing in it");
        assert!(error.contains("must have one initialized field"), "{error}");
    }

    #[test]
    fn a_mistake_is_named() {
        for (json, wanted) in [
            (json!({}), "required oneof field 'data' must have one initialized field"),
            (json!({"txt": "a"}), "Unknown parameter 'txt'."),
            (json!({"text": "a", "inlineData": {"data": ""}}), "'inlineData' sets it again"),
            (json!({"text": 1}), "Invalid type for 'text'"),
            (json!({"inlineData": {"data": "€"}}), "Invalid value for 'inlineData.data'"),
            (json!({"inlineData": {"data": "", "mimeType": "png"}}), "'png' is no MIME type"),
            (json!({"fileData": {}}), "Missing required parameter 'fileData.fileUri'."),
            (json!({"executableCode": {"code": "ls", "language": "BASH"}}), "'BASH' is none of"),
            (
                json!({"codeExecutionResult": {"outcome": "OK"}}),
                "'OK' is none of OUTCOME_UNSPECIFIED, OUTCOME_OK",
            ),
            (json!({"functionCall": {"args": {}}}), "'functionCall.name'"),
            (json!({"functionResponse": {"name": "f", "response": 1}}), "expected an object"),
            (json!({"functionResponse": {"name": "f", "parts": [1]}}), "are not supported"),
        ] {
            let error = part(json.clone()).expect_err("it was accepted");
            assert!(error.contains(wanted), "{json} gave {error}");
        }
    }
}
