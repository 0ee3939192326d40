//! Parses parts, the elements of contents.

pub mod invocation;

use serde_json::{Value, json};

use crate::http::wire::WireError;
use crate::http::wire::content::{decode, media_to_json, mime_type};
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;
use domain::interaction::{
    CodeCall, CodeResult, Content, FunctionCall, FunctionResult, Media, MediaKind, Outcome, Source,
};

/// A parsed part. Omitted fields are empty: [`super::content`] derives them from the parts around
/// it.
#[derive(Debug, PartialEq)]
pub struct ContentPart {
    pub data: PartData,
    /// Opaque; returned unchanged.
    pub signature: Option<String>,
}

#[derive(Debug, PartialEq)]
pub enum PartData {
    Thought(String),
    Content(Content),
    Code(CodeCall),
    CodeResult(CodeResult),
    FunctionCall(FunctionCall),
    FunctionResult(FunctionResult),
    /// A call of a server's tool or its result: a step of the interactions API, or the part itself.
    Passthrough(Value),
}

/// The possible data of a part, which has exactly one.
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

/// Hints about media for a model. Accepted and ignored.
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

pub fn read(node: Node) -> Result<ContentPart, WireError> {
    let mut fields = node.object()?.camel()?;
    let is_thought = fields.boolean("thought")?.unwrap_or(false);
    let signature = fields.string("thoughtSignature")?.filter(|signature| !signature.is_empty());
    for name in ABOUT {
        fields.take(name);
    }
    let mut data = DATA.iter().filter(|name| fields.has(name));
    let (kind, second) = (data.next().copied(), data.next());
    if let Some(second) = second {
        return Err(fields.wrong(format!("its data is already set, but '{second}' sets it again")));
    }
    let data = match kind {
        // A thought can be empty: clients drop fields that they do not know, and Google's own tests
        // (python-genai, issue 830) send the rest.
        None if is_thought => PartData::Thought(String::new()),
        // A stream ends with only a signature, which clients keep in their history.
        None if signature.is_some() => PartData::Content(Content::text("")),
        None => {
            let empty = fields.wrong("required oneof field 'data' must have one initialized field");
            fields.done()?;
            return Err(empty);
        }
        Some("text") => {
            let text = fields.require("text")?.string()?;
            if is_thought {
                PartData::Thought(text)
            } else {
                PartData::Content(Content::text(text))
            }
        }
        Some("inlineData") => inline(message(&mut fields, "inlineData")?)?,
        Some("fileData") => file(message(&mut fields, "fileData")?)?,
        Some("executableCode") => code(message(&mut fields, "executableCode")?)?,
        Some("codeExecutionResult") => result(message(&mut fields, "codeExecutionResult")?)?,
        Some("functionCall") => function_call(message(&mut fields, "functionCall")?)?,
        Some("functionResponse") => function_result(message(&mut fields, "functionResponse")?)?,
        Some(name) => {
            let node = fields.require(name)?;
            let whole = json!({name: node.value()});
            let invocation = node.object()?.camel()?;
            let is_call = name == "toolCall";
            let step = invocation::read(whole, invocation, is_call, signature.as_deref())?;
            PartData::Passthrough(step)
        }
    };
    fields.done()?;
    Ok(ContentPart { data, signature })
}

fn message(fields: &mut ObjectReader, name: &str) -> Result<ObjectReader, WireError> {
    fields.require(name)?.object()?.camel()
}

fn inline(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let data = decode(fields.require("data")?)?;
    let mime_type = match fields.take("mimeType") {
        Some(node) => Some(mime_type(node)?),
        None => infer::get(&data).map(|kind| kind.mime_type().to_owned()),
    };
    fields.string("displayName")?;
    fields.done()?;
    Ok(media(mime_type, Source::Inline(data)))
}

fn file(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let uri = fields.require("fileUri")?.string()?;
    let mime_type = fields.take("mimeType").map(mime_type).transpose()?;
    fields.string("displayName")?;
    fields.done()?;
    Ok(media(mime_type, Source::Uri(uri)))
}

/// Media of the kind that follows from the MIME type.
pub fn media(mime_type: Option<String>, source: Source) -> PartData {
    let kind = match mime_type.as_deref().and_then(|name| name.split('/').next()) {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::Document,
    };
    PartData::Content(Content::Media(Media { kind, mime_type, source }))
}

fn code(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let code = fields.require("code")?.string()?;
    if let Some(language) = fields.take("language") {
        proto::LANGUAGE.one_of(language, &["python"])?;
    }
    let id = fields.string("id")?.unwrap_or_default();
    fields.done()?;
    Ok(PartData::Code(CodeCall { id, code, signature: String::new() }))
}

fn result(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let outcome =
        fields.take("outcome").map(|node| proto::OUTCOME.one_of(node, &[])).transpose()?;
    let outcome = outcome.unwrap_or_default();
    let outcome = OUTCOMES.iter().find(|(name, _)| *name == outcome);
    let outcome = outcome.map_or(Outcome::Ok, |(_, outcome)| *outcome);
    let result = fields.string("output")?.unwrap_or_default();
    let call_id = fields.string("id")?.unwrap_or_default();
    fields.done()?;
    Ok(PartData::CodeResult(CodeResult {
        call_id,
        outcome,
        stdout: if outcome.is_error() { String::new() } else { result.clone() },
        result,
        images: 0,
        signature: String::new(),
    }))
}

fn function_call(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let call = FunctionCall {
        id: fields.string("id")?.unwrap_or_default(),
        name: fields.require("name")?.string()?,
        arguments: fields.object("args")?.unwrap_or_else(|| json!({})),
        signature: String::new(),
    };
    // For calls in chunks, which this server does not send.
    fields.take("partialArgs");
    fields.boolean("willContinue")?;
    fields.done()?;
    Ok(PartData::FunctionCall(call))
}

/// A response with parts, such as a picture of the screen, is a list of contents.
fn function_result(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let response = fields.object("response")?.unwrap_or_else(|| json!({}));
    let parts = fields.take("parts").map(Node::list).transpose()?.unwrap_or_default();
    let result = if parts.is_empty() {
        response
    } else {
        let text = json!({"type": "text", "text": response.to_string()});
        let parts = parts.into_iter().map(response_part);
        std::iter::once(Ok(text)).chain(parts).collect::<Result<_, WireError>>()?
    };
    let result = FunctionResult {
        call_id: fields.string("id")?.unwrap_or_default(),
        name: Some(fields.require("name")?.string()?),
        result,
        is_error: false,
    };
    // For functions that continue while the model responds.
    fields.boolean("willContinue")?;
    fields.take("scheduling").map(|node| proto::SCHEDULING.word(node)).transpose()?;
    fields.done()?;
    Ok(PartData::FunctionResult(result))
}

/// Media of a function's response, as the interactions API has it.
fn response_part(node: Node) -> Result<Value, WireError> {
    let mut fields = node.object()?.camel()?;
    let empty = fields.wrong("expected 'inlineData' or 'fileData'");
    let data = match (fields.has("inlineData"), fields.has("fileData")) {
        (true, false) => inline(message(&mut fields, "inlineData")?)?,
        (false, true) => file(message(&mut fields, "fileData")?)?,
        _ => return Err(empty),
    };
    fields.done()?;
    match data {
        PartData::Content(Content::Media(media)) => Ok(media_to_json(&media)),
        _ => Err(empty),
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::{of_code, of_code_result, of_media};
    use super::*;

    fn part(json: Value) -> Result<ContentPart, String> {
        read(Node::root(json)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_part_that_the_server_wrote_parses_back() {
        let media = Media {
            kind: MediaKind::Image,
            mime_type: Some("image/png".into()),
            source: Source::Inline(b"png".as_slice().into()),
        };
        let read = part(of_media(&media)).expect("the server wrote it");
        assert_eq!(read.data, PartData::Content(Content::Media(media)));

        let read = part(of_code("c", "print(1)", "c2ln")).expect("the server wrote it");
        let PartData::Code(call) = read.data else { panic!("{:?}", read.data) };
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
            let read = part(of_code_result(&wanted)).expect("the server wrote it");
            assert_eq!(read.data, PartData::CodeResult(wanted));
        }
    }

    #[test]
    fn both_spellings_give_the_same_part() {
        let uri = Media {
            kind: MediaKind::Document,
            mime_type: Some("text/csv".into()),
            source: Source::Uri("files/x".into()),
        };
        let wanted = ContentPart { data: PartData::Content(Content::Media(uri)), signature: None };
        for json in [
            json!({"fileData": {"fileUri": "files/x", "mimeType": "text/csv"}}),
            json!({"fileData": {"file_uri": "files/x", "mime_type": "text/csv"}}),
            json!({"file_data": {"file_uri": "files/x", "mimeType": "text/csv; header"}}),
        ] {
            assert_eq!(part(json.clone()).as_ref(), Ok(&wanted), "{json}");
        }
    }

    #[test]
    fn a_thought_may_be_empty() {
        let silent = |signature: Option<&str>| ContentPart {
            data: PartData::Thought(String::new()),
            signature: signature.map(str::to_owned),
        };
        assert_eq!(part(json!({"thought": true})), Ok(silent(None)));
        let signed = json!({"thought": true, "thoughtSignature": "c2ln"});
        assert_eq!(part(signed), Ok(silent(Some("c2ln"))));
        let error = part(json!({"thought": false})).expect_err("it has no data");
        assert!(error.contains("must have one initialized field"), "{error}");
    }

    #[test]
    fn an_invalid_field_is_named() {
        for (json, wanted) in [
            (json!({}), "required oneof field 'data' must have one initialized field"),
            (json!({"txt": "a"}), "Unknown parameter 'txt'."),
            (json!({"text": "a", "inlineData": {"data": ""}}), "'inlineData' sets it again"),
            (json!({"text": 1}), "Invalid type for 'text'"),
            (json!({"inlineData": {"data": "€"}}), "Invalid value for 'inlineData.data'"),
            (json!({"inlineData": {"data": "", "mimeType": "png"}}), "'png' is not a MIME type"),
            (json!({"fileData": {}}), "Missing required parameter 'fileData.fileUri'."),
            (json!({"executableCode": {"code": "ls", "language": "BASH"}}), "'BASH' is not one of"),
            (
                json!({"codeExecutionResult": {"outcome": "OK"}}),
                "'OK' is not one of OUTCOME_UNSPECIFIED, OUTCOME_OK",
            ),
            (json!({"functionCall": {"args": {}}}), "'functionCall.name'"),
            (json!({"functionResponse": {"name": "f", "response": 1}}), "expected an object"),
            (json!({"functionResponse": {"name": "f", "parts": [1]}}), "expected an object"),
            (
                json!({"functionResponse": {"name": "f", "parts": [{}]}}),
                "'functionResponse.parts[0]': expected 'inlineData' or 'fileData'",
            ),
        ] {
            let error = part(json.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{json} gave {error}");
        }
    }
}
