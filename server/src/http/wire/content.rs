//! Contents: text, images, documents and other media.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde_json::{Value, json};

use super::WireError;
use super::json_reader::{Node, ObjectReader};
use crate::http::response::pieces::base64;
use domain::interaction::{Citation, CitedSource, Content, Media, MediaKind, Source, SourceKind};

/// Accepts missing padding and trailing bits, because clients send both.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Maximum length of a MIME type. IANA allows 127 characters before the slash and as many after it.
const MAX_MIME_BYTES: usize = 255;

/// How a content of an unknown type is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownContent {
    /// In user input it is an error.
    Refuse,
    /// In model output it came from another server, and is kept for it.
    Keep,
}

/// Whether a `type` is a content type. In a list of steps and contents, all other types are steps.
pub fn is_content(kind: &str) -> bool {
    kind == "text" || kind.parse::<MediaKind>().is_ok()
}

/// Parses a string, a content, or a list of contents.
pub fn contents(node: Node, unknown: UnknownContent) -> Result<Vec<Content>, WireError> {
    match node.value() {
        Value::String(_) => Ok(vec![Content::text(node.string()?)]),
        Value::Object(_) => Ok(vec![content(node.object()?, unknown)?]),
        Value::Array(_) => {
            let contents = node.list()?.into_iter();
            contents.map(|node| content(node.object()?, unknown)).collect()
        }
        _ => Err(node.not("a string, an object or a list")),
    }
}

/// Parses a content. `{"text": "…"}` needs no type.
pub fn content(mut fields: ObjectReader, unknown: UnknownContent) -> Result<Content, WireError> {
    let kind = match fields.kind() {
        Some(kind) => kind.to_owned(),
        None if fields.has("text") && !fields.has("type") => "text".to_owned(),
        None => return Err(fields.require("type").map_or_else(|e| e, |node| node.not("a string"))),
    };
    match (kind.as_str(), kind.parse::<MediaKind>().ok(), unknown) {
        ("text", _, _) => text(fields, unknown),
        (_, Some(kind), _) => media(kind, fields, unknown),
        (_, None, UnknownContent::Keep) => Ok(Content::Passthrough(fields.into_value())),
        (_, None, UnknownContent::Refuse) => {
            let known = "text, image, audio, video, document";
            Err(fields.wrong(format!("unknown content type '{kind}': expected one of {known}")))
        }
    }
}

fn text(mut fields: ObjectReader, unknown: UnknownContent) -> Result<Content, WireError> {
    fields.take("type");
    let text = fields.require("text")?.string()?;
    let annotations = match fields.take("annotations") {
        Some(node) => node.list()?.into_iter().map(Node::into_value).collect(),
        None => Vec::new(),
    };
    finish(fields, unknown)?;
    Ok(Content::Text { text, annotations, citations: Vec::new() })
}

fn media(
    kind: MediaKind,
    mut fields: ObjectReader,
    unknown: UnknownContent,
) -> Result<Content, WireError> {
    fields.take("type");
    let source = match (fields.take("data"), fields.take("uri")) {
        (Some(data), None) => Source::Inline(decode(data)?),
        (None, Some(uri)) => Source::Uri(uri.string()?),
        (Some(_), Some(_)) => return Err(fields.wrong("has both 'data' and 'uri'")),
        (None, None) => return Err(fields.wrong("needs 'data' or 'uri'")),
    };
    let mime_type = match (fields.take("mime_type"), &source) {
        (Some(node), _) => Some(mime_type(node)?),
        (None, Source::Inline(bytes)) => infer::get(bytes).map(|kind| kind.mime_type().to_owned()),
        (None, Source::Uri(_)) => None,
    };
    // Hints for models with vision and hearing. Accepted and ignored.
    for name in ["resolution", "processing", "channels", "sample_rate", "name"] {
        fields.take(name);
    }
    finish(fields, unknown)?;
    Ok(Content::Media(Media { kind, mime_type, source }))
}

/// Rejects unknown fields in user input; accepts them in model output.
fn finish(fields: ObjectReader, unknown: UnknownContent) -> Result<(), WireError> {
    match unknown {
        UnknownContent::Refuse => fields.done(),
        UnknownContent::Keep => Ok(()),
    }
}

/// Decodes base64 in any of its variants.
pub fn decode(node: Node) -> Result<Bytes, WireError> {
    let Value::String(text) = node.value() else {
        return Err(node.not("a string"));
    };
    match decoded(text) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(node.wrong(format!("not valid base64 ({error})"))),
    }
}

/// Decodes base64 in any of its variants; `None` if it is invalid.
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

/// A MIME type in lower case, without parameters.
pub fn mime_type(node: Node) -> Result<String, WireError> {
    let Value::String(text) = node.value() else {
        return Err(node.not("a string"));
    };
    mime_name(text).ok_or_else(|| node.wrong(format!("'{text}' is not a MIME type")))
}

/// Converts `Text/CSV; header=present` to `text/csv`. `None` if it is not a MIME type.
pub fn mime_name(text: &str) -> Option<String> {
    let name = text.split(';').next().unwrap_or_default().trim();
    if name.len() > MAX_MIME_BYTES {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let (kind, subtype) = name.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some(name)
}

/// A content in Google's format.
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
        Content::Passthrough(content) => content.clone(),
    }
}

/// Positions count bytes, as in the real service.
pub fn citation_to_json(citation: &Citation) -> Value {
    let CitedSource { title, url, kind } = &citation.source;
    let mut json = match kind {
        SourceKind::Page => json!({"type": "url_citation", "url": url, "title": title}),
        SourceKind::Place(id) => {
            json!({"type": "place_citation", "url": url, "name": title, "place_id": id})
        }
        SourceKind::Document => {
            json!({"type": "file_citation", "document_uri": url, "file_name": title})
        }
    };
    json["start_index"] = citation.range.start.into();
    json["end_index"] = citation.range.end.into();
    json
}

pub fn media_to_json(media: &Media) -> Value {
    let mut json = json!({"type": media.kind.as_str()});
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
        contents(node, UnknownContent::Refuse).map_err(|error| error.to_string())
    }

    #[test]
    fn every_variant_of_base64_is_accepted() {
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
    fn a_missing_type_is_derived_from_the_bytes() {
        let png = STANDARD.encode(b"\x89PNG\r\n\x1a\n0000");
        let read = read(json!({"type": "image", "data": png})).expect("it is one");
        let [Content::Media(media)] = &read[..] else { panic!("{read:?}") };
        assert_eq!(media.mime_type.as_deref(), Some("image/png"));
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (content, wanted) in [
            (json!([{"type": "text"}]), "Missing required parameter 'content[0].text'."),
            (
                json!([{"type": "text", "text": 1}]),
                "Invalid type for 'content[0].text': expected a string, got a number.",
            ),
            (
                json!([{"text": "a"}, {"type": "image", "data": "€"}]),
                "Invalid value for 'content[1].data': not valid base64",
            ),
            (json!({"type": "image"}), "Invalid value for 'content': needs 'data' or 'uri'."),
            (json!({"type": "image", "data": "", "uri": "u"}), "has both 'data' and 'uri'"),
            (
                json!([{"type": "file", "uri": "u"}]),
                "Invalid value for 'content[0]': unknown content type 'file'",
            ),
            (
                json!([{"type": "text", "text": "a", "mimeType": "x"}]),
                "Unknown parameter 'content[0].mimeType'.",
            ),
            (
                json!([{"type": "image", "data": "", "mime_type": "png"}]),
                "'png' is not a MIME type",
            ),
            (json!([{}]), "Missing required parameter 'content[0].type'."),
            (
                json!([{"type": 7}]),
                "Invalid type for 'content[0].type': expected a string, got a number.",
            ),
            (json!([7]), "Invalid type for 'content[0]': expected an object, got a number."),
            (json!(7), "expected a string, an object or a list, got a number."),
        ] {
            let error = read(content.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{content} gave {error}");
        }
    }
}
