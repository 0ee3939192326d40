//! Contents: text, pictures, documents and the like.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::{Value, json};

use super::WireError;
use super::node::{Fields, Node};
use crate::http::pieces::base64;
use crate::interaction::{Citation, Content, Media, MediaKind, Source};

/// Padding or none, and bits that are left over: clients do all of it.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

const KINDS: [(&str, MediaKind); 4] = [
    ("image", MediaKind::Image),
    ("audio", MediaKind::Audio),
    ("video", MediaKind::Video),
    ("document", MediaKind::Document),
];

/// What to do with a content that this server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strange {
    /// In what a user says: a mistake.
    Refuse,
    /// In what a model has said: it came from some server, and is kept for it.
    Keep,
}

/// Whether a `type` is the type of a content. In a list of steps and contents, all others are steps.
pub fn is_content(kind: &str) -> bool {
    kind == "text" || media_kind(kind).is_some()
}

/// A string, one content, or a list of them.
pub fn contents(node: Node, strange: Strange) -> Result<Vec<Content>, WireError> {
    match node.value() {
        Value::String(_) => Ok(vec![Content::text(node.string()?)]),
        Value::Object(_) => Ok(vec![content(node.object()?, strange)?]),
        Value::Array(_) => {
            let contents = node.list()?.into_iter();
            contents.map(|node| content(node.object()?, strange)).collect()
        }
        _ => Err(node.not("a string, an object or a list")),
    }
}

/// One content. `{"text": "…"}` needs no type.
pub fn content(mut fields: Fields, strange: Strange) -> Result<Content, WireError> {
    let kind = match fields.kind() {
        Some(kind) => kind.to_owned(),
        None if fields.has("text") && !fields.has("type") => "text".to_owned(),
        None => return Err(fields.require("type").map_or_else(|e| e, |node| node.not("a string"))),
    };
    match (kind.as_str(), media_kind(&kind), strange) {
        ("text", _, _) => text(fields, strange),
        (_, Some(kind), _) => media(kind, fields, strange),
        (_, None, Strange::Keep) => Ok(Content::Foreign(fields.into_value())),
        (_, None, Strange::Refuse) => {
            let known = "text, image, audio, video, document";
            Err(fields.wrong(format!("'{kind}' is no type of content; there are {known}")))
        }
    }
}

fn text(mut fields: Fields, strange: Strange) -> Result<Content, WireError> {
    fields.take("type");
    let text = fields.require("text")?.string()?;
    let annotations = match fields.take("annotations") {
        Some(node) => node.list()?.into_iter().map(Node::into_value).collect(),
        None => Vec::new(),
    };
    finish(fields, strange)?;
    Ok(Content::Text { text, annotations, citations: Vec::new() })
}

fn media(kind: MediaKind, mut fields: Fields, strange: Strange) -> Result<Content, WireError> {
    fields.take("type");
    let source = match (fields.take("data"), fields.take("uri")) {
        (Some(data), None) => Source::Inline(decode(data)?),
        (None, Some(uri)) => Source::Uri(uri.string()?),
        (Some(_), Some(_)) => return Err(fields.wrong("it has both 'data' and 'uri'")),
        (None, None) => return Err(fields.wrong("it needs 'data' or 'uri'")),
    };
    let mime_type = match (fields.take("mime_type"), &source) {
        (Some(node), _) => Some(mime_type(node)?),
        (None, Source::Inline(bytes)) => infer::get(bytes).map(|kind| kind.mime_type().to_owned()),
        (None, Source::Uri(_)) => None,
    };
    // These are for the eyes and ears of a model, which ours does not have. Accepted, not used.
    for name in ["resolution", "processing", "channels", "sample_rate", "name"] {
        fields.take(name);
    }
    finish(fields, strange)?;
    Ok(Content::Media(Media { kind, mime_type, source }))
}

/// Nothing may be left of what a user says; what a model has said may have more to it.
fn finish(fields: Fields, strange: Strange) -> Result<(), WireError> {
    match strange {
        Strange::Refuse => fields.done(),
        Strange::Keep => Ok(()),
    }
}

/// Base64 in any of its spellings.
pub fn decode(node: Node) -> Result<Bytes, WireError> {
    let Value::String(text) = node.value() else {
        return Err(node.not("a string"));
    };
    match decoded(text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(node.wrong(format!("it is not base64 ({error})"))),
    }
}

/// The bytes of base64 in any of its spellings; nothing for what is none.
pub fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    decoded(value.as_str()?).ok()
}

pub fn is_base64(text: &str) -> bool {
    decoded(text).is_ok()
}

fn decoded(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let engine = if text.contains(['-', '_']) { &LENIENT_URL_SAFE } else { &LENIENT_STANDARD };
    engine.decode(text)
}

/// Lower case, without parameters.
pub fn mime_type(node: Node) -> Result<String, WireError> {
    let Value::String(text) = node.value() else {
        return Err(node.not("a string"));
    };
    mime_name(text).ok_or_else(|| node.wrong(format!("'{text}' is no MIME type")))
}

/// `Text/CSV; header=present` is `text/csv`. Nothing for what is no MIME type.
pub fn mime_name(text: &str) -> Option<String> {
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let (kind, subtype) = name.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some(name)
}

fn media_kind(kind: &str) -> Option<MediaKind> {
    KINDS.iter().find(|(name, _)| *name == kind).map(|(_, kind)| *kind)
}

/// A content as Google spells it.
pub fn to_json(content: &Content) -> Value {
    match content {
        Content::Text { text, annotations, citations } => {
            let mut json = json!({"type": "text", "text": text});
            if !annotations.is_empty() || !citations.is_empty() {
                let ours = citations.iter().map(citation_to_json);
                json["annotations"] = annotations.iter().cloned().chain(ours).collect();
            }
            json
        }
        Content::Media(media) => media_to_json(media),
        Content::Foreign(content) => content.clone(),
    }
}

/// Its places count bytes, as the real service's do.
pub fn citation_to_json(citation: &Citation) -> Value {
    json!({
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.range.start,
        "end_index": citation.range.end,
    })
}

pub fn media_to_json(media: &Media) -> Value {
    let kind =
        KINDS.iter().find(|(_, kind)| *kind == media.kind).map_or("document", |(name, _)| name);
    let mut json = json!({"type": kind});
    if let Some(mime_type) = &media.mime_type {
        json["mime_type"] = mime_type.as_str().into();
    }
    match &media.source {
        Source::Inline(bytes) => json["data"] = base64(bytes),
        Source::Uri(uri) => json["uri"] = uri.as_str().into(),
    }
    json
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn read(json: Value) -> Result<Vec<Content>, String> {
        let body = Node::root(json!({"content": json}));
        let node = body.object().expect("it is one").require("content").expect("it is there");
        contents(node, Strange::Refuse).map_err(|error| error.to_string())
    }

    #[test]
    fn every_spelling_of_base64_is_read() {
        let bytes = [0xfb, 0xff, 0xfe, 0x01];
        for data in ["+//+AQ==", "+//+AQ", "-__-AQ==", "-__-AQ"] {
            let content =
                json!({"type": "document", "data": data, "mime_type": "Text/CSV; header"});
            let media = Media {
                kind: MediaKind::Document,
                mime_type: Some("text/csv".into()),
                source: Source::Inline(Bytes::copy_from_slice(&bytes)),
            };
            assert_eq!(read(content), Ok(vec![Content::Media(media)]), "{data}");
        }
    }

    #[test]
    fn a_type_that_the_client_left_out_is_read_off_the_bytes() {
        let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n0000");
        let read = read(json!({"type": "image", "data": png})).expect("it is one");
        let [Content::Media(media)] = &read[..] else { panic!("{read:?}") };
        assert_eq!(media.mime_type.as_deref(), Some("image/png"));
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (content, wanted) in [
            (json!([{"type": "text"}]), "Missing required parameter 'content[0].text'."),
            (
                json!([{"type": "text", "text": 1}]),
                "Invalid type for 'content[0].text': expected a string, got a number.",
            ),
            (
                json!([{"text": "a"}, {"type": "image", "data": "€"}]),
                "Invalid value for 'content[1].data': it is not base64",
            ),
            (json!({"type": "image"}), "Invalid value for 'content': it needs 'data' or 'uri'."),
            (json!({"type": "image", "data": "", "uri": "u"}), "it has both 'data' and 'uri'"),
            (
                json!([{"type": "file", "uri": "u"}]),
                "Invalid value for 'content[0]': 'file' is no type of content",
            ),
            (
                json!([{"type": "text", "text": "a", "mimeType": "x"}]),
                "Unknown parameter 'content[0].mimeType'.",
            ),
            (json!([{"type": "image", "data": "", "mime_type": "png"}]), "'png' is no MIME type"),
            (json!([{}]), "Missing required parameter 'content[0].type'."),
            (
                json!([{"type": 7}]),
                "Invalid type for 'content[0].type': expected a string, got a number.",
            ),
            (json!([7]), "Invalid type for 'content[0]': expected an object, got a number."),
            (json!(7), "expected a string, an object or a list, got a number."),
        ] {
            let error = read(content.clone()).expect_err("it was accepted");
            assert!(error.contains(wanted), "{content} gave {error}");
        }
    }
}
