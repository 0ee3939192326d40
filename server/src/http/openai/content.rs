//! The content of a message: a text, or a list of parts.

use crate::http::generate_content::part::{self, ContentPart, PartData};
use crate::http::wire::WireError;
use crate::http::wire::content::{decode, mime_name};
use crate::http::wire::json_reader::{Node, ObjectReader};
use domain::interaction::{Content, Media, MediaKind, Source};

/// A text, or a list of parts that are texts.
pub fn text(node: Node) -> Result<String, WireError> {
    if node.value().is_string() {
        return node.string();
    }
    let mut texts = String::new();
    for node in parts_of(node)? {
        let mut fields = node.object()?;
        match fields.require("type")?.one_of(&["text", "refusal"])?.as_str() {
            "text" => texts.push_str(&fields.require("text")?.string()?),
            _ => texts.push_str(&fields.require("refusal")?.string()?),
        }
        fields.done()?;
    }
    Ok(texts)
}

fn parts_of(node: Node) -> Result<Vec<Node>, WireError> {
    if node.value().is_array() { node.list() } else { Err(node.not("a string or a list")) }
}

/// The content of a user's message.
pub fn contents(node: Node) -> Result<Vec<ContentPart>, WireError> {
    let of = |data| ContentPart { data, signature: None };
    if node.value().is_string() {
        return Ok(vec![of(PartData::Content(Content::text(node.string()?)))]);
    }
    let empty = node.wrong("it must not be empty");
    let nodes = parts_of(node)?;
    if nodes.is_empty() {
        return Err(empty);
    }
    nodes.into_iter().map(|node| user_part(node).map(of)).collect()
}

fn user_part(node: Node) -> Result<PartData, WireError> {
    let mut fields = node.object()?;
    let kind = fields.require("type")?.one_of(&["text", "image_url", "input_audio", "file"])?;
    let data = match kind.as_str() {
        "text" => PartData::Content(Content::text(fields.require("text")?.string()?)),
        "image_url" => image(fields.require("image_url")?.object()?)?,
        "input_audio" => audio(fields.require("input_audio")?.object()?)?,
        _ => file(fields.require("file")?.object()?)?,
    };
    fields.done()?;
    Ok(data)
}

fn image(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let url = fields.require("url")?;
    // The resolution at which a model looks at it.
    fields.string("detail")?;
    fields.done()?;
    if let Some(data) = data_url(&url)? {
        return Ok(data);
    }
    let (kind, source) = (MediaKind::Image, Source::Uri(url.string()?));
    Ok(PartData::Content(Content::Media(Media { kind, mime_type: None, source })))
}

fn audio(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let data = decode(fields.require("data")?)?;
    let format = fields.require("format")?.one_of(&["wav", "mp3"])?;
    fields.done()?;
    Ok(part::media(Some(format!("audio/{format}")), Source::Inline(data)))
}

/// Inline data, or an uploaded file.
fn file(mut fields: ObjectReader) -> Result<PartData, WireError> {
    let neither = fields.wrong("needs either 'file_data' or 'file_id'");
    fields.string("filename")?;
    let (data, id) = (fields.take("file_data"), fields.string("file_id")?);
    fields.done()?;
    match (data, id) {
        (Some(node), None) => match data_url(&node)? {
            Some(data) => Ok(data),
            None => Err(node.wrong("must be a 'data:' URL with base64")),
        },
        (None, Some(id)) => {
            let uri = if id.contains("files/") { id } else { format!("files/{id}") };
            Ok(part::media(None, Source::Uri(uri)))
        }
        _ => Err(neither),
    }
}

/// The data of `data:image/png;base64,…`; `None` if it is another URL.
fn data_url(node: &Node) -> Result<Option<PartData>, WireError> {
    let Some(url) = node.value().as_str() else { return Err(node.not("a string")) };
    let Some(rest) = url.strip_prefix("data:") else { return Ok(None) };
    let wrong = || node.wrong("must be a 'data:' URL with base64");
    let (about, data) = rest.split_once(',').ok_or_else(wrong)?;
    let mime_type = about.strip_suffix(";base64").ok_or_else(wrong)?;
    let mime_type = mime_name(mime_type).ok_or_else(wrong)?;
    let data = decode(node.with(data.into()))?;
    Ok(Some(part::media(Some(mime_type), Source::Inline(data))))
}
