//! The JSON of uploaded files: clients' metadata and the server's responses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::proto;
use crate::http::extract::external_url::ExternalUrl;
use crate::http::wire::WireError;
use crate::http::wire::content;
use crate::http::wire::json_reader::Node;
use store::{Announced, StoredFile};

/// Limits of the real service, in characters.
const MAX_ID: usize = 40;
const MAX_DISPLAY_NAME: usize = 512;
/// Top-level MIME types; there are no others.
const MEDIA: &[&str] = &[
    "application",
    "audio",
    "chemical",
    "font",
    "image",
    "message",
    "model",
    "multipart",
    "text",
    "video",
];

/// Fields that only the server sets, but that clients send back.
pub const KNOWN_TO_THE_SERVER: &[&str] = &[
    "createTime",
    "updateTime",
    "expirationTime",
    "sha256Hash",
    "uri",
    "downloadUri",
    "state",
    "source",
    "error",
    "videoMetadata",
];

/// Properties of a file in the request's headers, in addition to its metadata.
#[derive(Debug, Default)]
pub struct InHeaders<'a> {
    pub mime_type: Option<&'a str>,
    pub bytes: Option<u64>,
    pub file_name: Option<&'a str>,
}

/// Parses `{"file": {…}}`.
pub fn announced(body: Value, headers: &InHeaders<'_>) -> Result<Announced, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let file = fields.take("file").map(|node| node.object()?.camel()).transpose()?;
    fields.done()?;
    let (mut id, mut display_name, mut mime_type, mut bytes) = (None, None, None, None);
    if let Some(mut file) = file {
        id = file.take("name").map(name).transpose()?;
        display_name = file.take("displayName").map(display).transpose()?;
        mime_type = file.string("mimeType")?.filter(|text| !text.is_empty());
        bytes = file.take("sizeBytes").map(size).transpose()?;
        for name in KNOWN_TO_THE_SERVER {
            file.take(name);
        }
        file.done()?;
    }
    let stated = headers.mime_type.filter(|text| !text.is_empty()).map(str::to_owned);
    let by_name = || {
        let name = headers.file_name.or(display_name.as_deref())?;
        mime_guess::from_path(name).first_raw().map(str::to_owned)
    };
    let mime_type = stated
        .or(mime_type)
        .or_else(by_name)
        .unwrap_or_else(|| "application/octet-stream".to_owned());
    Ok(Announced {
        id,
        display_name,
        mime_type: supported(&mime_type)?,
        bytes: headers.bytes.or(bytes),
    })
}

fn name(node: Node) -> Result<String, WireError> {
    let Value::String(name) = node.value() else {
        return Err(node.not("a string"));
    };
    let id = name.strip_prefix("files/").unwrap_or(name);
    let is_id = (1..=MAX_ID).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !id.starts_with('-')
        && !id.ends_with('-');
    if is_id {
        return Ok(id.to_owned());
    }
    Err(node.wrong(format!(
        "a file name must be 'files/' and at most {MAX_ID} lower-case letters, digits and dashes, without a \
         dash at either end"
    )))
}

fn display(node: Node) -> Result<String, WireError> {
    let mistake = node.wrong(format!("at most {MAX_DISPLAY_NAME} characters are allowed"));
    let name = node.string()?;
    if name.chars().count() > MAX_DISPLAY_NAME { Err(mistake) } else { Ok(name) }
}

/// A number, or a string of one: JavaScript's integers are shorter.
fn size(node: Node) -> Result<u64, WireError> {
    let size = proto::int64(&node).ok().and_then(|size| u64::try_from(size).ok());
    size.ok_or_else(|| node.wrong("not a number of bytes"))
}

fn supported(mime_type: &str) -> Result<String, WireError> {
    let unsupported = || WireError::Whole(format!("Unsupported MIME type: {mime_type}"));
    let name = content::mime_name(mime_type).ok_or_else(unsupported)?;
    let (kind, _) = name.split_once('/').ok_or_else(unsupported)?;
    if MEDIA.contains(&kind) { Ok(name) } else { Err(unsupported()) }
}

/// A file in Google's format, with URLs below this base.
pub fn to_json(file: &StoredFile, base: &ExternalUrl) -> Value {
    let mut json = json!({"name": format!("files/{}", file.id)});
    if let Some(name) = &file.display_name {
        json["displayName"] = name.as_str().into();
    }
    json["mimeType"] = file.mime_type.as_str().into();
    json["sizeBytes"] = file.bytes.to_string().into();
    json["createTime"] = file.created.to_string().into();
    json["updateTime"] = file.created.to_string().into();
    json["expirationTime"] = file.expires.to_string().into();
    // Encodes the hexadecimal digits, not the hash's bytes.
    json["sha256Hash"] = STANDARD.encode(&file.sha256).into();
    json["uri"] = base.join(&format!("/v1beta/files/{}", file.id)).into();
    // An uploaded file needs no processing.
    json["state"] = "ACTIVE".into();
    json["source"] = "UPLOADED".into();
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: Value, headers: &InHeaders<'_>) -> Result<Announced, String> {
        announced(json!({"file": file}), headers).map_err(|error| error.to_string())
    }

    #[test]
    fn both_sdks_formats_give_the_same_file() {
        let wanted = Announced {
            id: Some("my-data".to_owned()),
            display_name: Some("My data".to_owned()),
            mime_type: "text/csv".to_owned(),
            bytes: Some(8),
        };
        let headers = InHeaders::default();
        for file in [
            json!({"name": "files/my-data", "mimeType": "text/csv", "displayName": "My data", "sizeBytes": "8"}),
            json!({"name": "my-data", "mime_type": "text/csv", "display_name": "My data", "size_bytes": 8}),
        ] {
            assert_eq!(read(file, &headers).as_ref(), Ok(&wanted));
        }
    }

    #[test]
    fn the_type_is_given_or_derived_from_the_name() {
        let stated =
            InHeaders { mime_type: Some("Text/Plain; charset=utf-8"), ..InHeaders::default() };
        let named = InHeaders { file_name: Some("data.csv"), ..InHeaders::default() };
        for (file, headers, wanted) in [
            (json!({"mimeType": "text/csv"}), &stated, "text/plain"),
            (json!({}), &named, "text/csv"),
            (json!({"displayName": "a.png"}), &InHeaders::default(), "image/png"),
            (json!({}), &InHeaders::default(), "application/octet-stream"),
        ] {
            assert_eq!(read(file, headers).expect("it is valid").mime_type, wanted);
        }
    }

    #[test]
    fn an_invalid_field_is_named() {
        let long = "x".repeat(MAX_ID + 1);
        for (file, wanted) in [
            (json!({"mimeType": "bad/mime_type"}), "Unsupported MIME type: bad/mime_type"),
            (json!({"mimeType": "text"}), "Unsupported MIME type: text"),
            (json!({"name": "files/Ab"}), "Invalid value for 'file.name'"),
            (json!({"name": "files/-a"}), "Invalid value for 'file.name'"),
            (json!({"name": "files/"}), "Invalid value for 'file.name'"),
            (json!({"name": "../etc"}), "Invalid value for 'file.name'"),
            (json!({"name": long}), "Invalid value for 'file.name'"),
            (json!({"displayName": "x".repeat(513)}), "at most 512 characters are allowed"),
            (json!({"sizeBytes": -1}), "not a number of bytes"),
            (json!({"colour": "red"}), "Unknown parameter 'file.colour'."),
        ] {
            let error = read(file.clone(), &InHeaders::default()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{file} gave {error}");
        }
    }
}
