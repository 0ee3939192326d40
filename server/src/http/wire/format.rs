//! `response_format`: the requested format of the answer. Converted to fields of `generation_config`, with
//! the names of `generateContent`.

use serde_json::{Map, Value, json};

use super::WireError;
use super::json_reader::{Node, ObjectReader};

/// Media formats and their fields. No model here generates media, so they are validated and
/// ignored.
const MEDIA: [(&str, &[&str]); 3] = [
    ("image", &["aspect_ratio", "delivery", "image_size", "mime_type"]),
    ("audio", &["bit_rate", "delivery", "mime_type", "sample_rate"]),
    ("video", &["aspect_ratio", "delivery", "duration", "gcs_uri", "resolution"]),
];
/// ObjectReader that are numbers.
const NUMBERS: [&str; 2] = ["bit_rate", "sample_rate"];

/// Parses a format, a list of them, or a bare JSON Schema.
pub fn add(format: Node, generation_config: &mut Value) -> Result<(), WireError> {
    let forms = match format.value() {
        Value::Object(_) => vec![format],
        Value::Array(_) => format.list()?,
        _ => return Err(format.not("an object or a list")),
    };
    let mut text_format: Option<Map<String, Value>> = None;
    for form in forms {
        let again = form.wrong("only one format for text is allowed");
        let Some(form) = text(form)? else { continue };
        if text_format.replace(form).is_some() {
            return Err(again);
        }
    }
    let Some(text_format) = text_format else { return Ok(()) };
    match generation_config {
        Value::Object(fields) => fields.extend(text_format),
        other => *other = text_format.into(),
    }
    Ok(())
}

/// A text format, as fields of `generation_config`.
fn text(form: Node) -> Result<Option<Map<String, Value>>, WireError> {
    let json = "application/json";
    let whole = form.value().clone();
    let mut fields = form.object()?;
    match fields.kind() {
        Some("text") => {}
        Some(kind) if let Some((_, names)) = MEDIA.iter().find(|(name, _)| *name == kind) => {
            return media(names, fields).map(|()| None);
        }
        // A type of JSON Schema, or none.
        _ => return Ok(Some(words(json, Some(whole)))),
    }
    fields.take("type");
    let schema = fields.take("schema").map(Node::into_value);
    let mime_type = fields.string("mime_type")?;
    fields.done()?;
    let mime_type =
        mime_type.unwrap_or_else(|| if schema.is_some() { json } else { "" }.to_owned());
    let is_text = mime_type.is_empty() || mime_type == "text/plain";
    Ok((!is_text).then(|| words(&mime_type, schema)))
}

fn media(names: &[&str], mut fields: ObjectReader) -> Result<(), WireError> {
    fields.take("type");
    if let Some(delivery) = fields.take("delivery") {
        delivery.one_of(&["inline", "uri"])?;
    }
    for name in names {
        match fields.take(name) {
            Some(node) if NUMBERS.contains(name) => drop(node.integer()?),
            Some(node) => drop(node.string()?),
            None => {}
        }
    }
    fields.done()
}

fn words(mime_type: &str, schema: Option<Value>) -> Map<String, Value> {
    let mut words = Map::new();
    words.insert("response_mime_type".to_owned(), json!(mime_type));
    if let Some(schema) = schema {
        words.insert("response_json_schema".to_owned(), schema);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: Value) -> Result<Value, String> {
        let body = Node::root(json!({"f": format}));
        let node = body.object().expect("it is one").require("f").expect("it is there");
        let mut config = json!({"seed": 1});
        add(node, &mut config).map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn every_way_to_request_json_is_equivalent() {
        let schema = json!({"type": "array", "items": {"type": "string"}});
        let wanted = json!({"seed": 1, "response_mime_type": "application/json",
                            "response_json_schema": schema});
        for format in [
            schema.clone(),
            json!({"type": "text", "mime_type": "application/json", "schema": schema}),
            json!({"type": "text", "schema": schema}),
            json!([{"type": "image"}, {"type": "text", "schema": schema}]),
        ] {
            assert_eq!(read(format.clone()), Ok(wanted.clone()), "{format}");
        }
    }

    #[test]
    fn formats_for_plain_text_and_media_have_no_effect() {
        for format in [
            json!({"type": "text"}),
            json!({"type": "text", "mime_type": "text/plain"}),
            json!([{"type": "image", "aspect_ratio": "1:1", "image_size": "1K", "delivery": "uri"},
                   {"type": "audio", "sample_rate": 24000}, {"type": "video", "duration": "8s"}]),
        ] {
            assert_eq!(read(format.clone()), Ok(json!({"seed": 1})), "{format}");
        }
    }

    #[test]
    fn an_invalid_field_is_named_with_its_path() {
        for (format, wanted) in [
            (json!("json"), "Invalid type for 'f': expected an object or a list, got a string."),
            (json!([1]), "Invalid type for 'f[0]'"),
            (json!({"type": "text", "scheme": {}}), "Unknown parameter 'f.scheme'."),
            (
                json!([{"type": "text", "schema": {}}, {"type": "array"}]),
                "only one format for text is allowed",
            ),
            (json!({"type": "image", "size": "1K"}), "Unknown parameter 'f.size'."),
            (
                json!({"type": "audio", "aspect_ratio": "1:1"}),
                "Unknown parameter 'f.aspect_ratio'.",
            ),
            (
                json!([{"type": "audio", "sample_rate": "high"}]),
                "Invalid type for 'f[0].sample_rate'",
            ),
            (json!({"type": "video", "delivery": "post"}), "'post' is not one of inline, uri"),
        ] {
            let error = read(format.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{format} gave {error}");
        }
    }
}
