//! `embeddings`: the body of a request, and the answer with its vectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::interaction::Content;
use serde::Serialize;
use serde_json::{Value, json};

use super::request::model;
use crate::engine::{EmbedContent, EmbeddedContent, Excess};
use crate::http::embeddings::request::limited;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::Node;

/// How the answer writes vectors. OpenAI's SDKs ask for Base64 unless their user asks for numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VectorEncoding {
    #[default]
    Numbers,
    Base64,
}

#[derive(Debug)]
pub struct EmbeddingsRequest {
    pub model: String,
    pub contents: Vec<EmbedContent>,
    pub encoding: VectorEncoding,
}

pub fn read(body: Value) -> Result<EmbeddingsRequest, WireError> {
    let mut fields = Node::root(body).object()?;
    let model = model(fields.require("model")?)?;
    let texts = texts(fields.require("input")?)?;
    let dimensions = fields.take("dimensions").map(|node| size(&node)).transpose()?;
    let encoding = fields.take("encoding_format").map(encoding).transpose()?;
    fields.string("user")?;
    fields.done()?;
    let content = |text: String| EmbedContent {
        parts: vec![Content::text(&text)],
        task_type: None,
        title: None,
        dimensions,
        excess: Excess::Cut,
    };
    let contents = texts.into_iter().map(content).collect();
    Ok(EmbeddingsRequest { model, contents, encoding: encoding.unwrap_or_default() })
}

/// One text or several. Gemini's API has no tokens that a client could know.
fn texts(input: Node) -> Result<Vec<String>, WireError> {
    let nodes = match input.value() {
        Value::Array(_) => input.list()?,
        _ => vec![input],
    };
    limited(nodes.len())?;
    let text = |node: Node| {
        let empty = node.wrong("contains an empty Part");
        if matches!(node.value(), Value::Array(_) | Value::Number(_)) {
            return Err(node.wrong("tokens cannot be embedded, only texts"));
        }
        let text = node.string()?;
        if text.is_empty() { Err(empty) } else { Ok(text) }
    };
    nodes.into_iter().map(text).collect()
}

fn size(node: &Node) -> Result<usize, WireError> {
    let size = usize::try_from(node.integer()?).ok().filter(|size| *size > 0);
    size.ok_or_else(|| node.wrong("must be positive"))
}

fn encoding(node: Node) -> Result<VectorEncoding, WireError> {
    match node.one_of(&["float", "base64"])?.as_str() {
        "base64" => Ok(VectorEncoding::Base64),
        _ => Ok(VectorEncoding::Numbers),
    }
}

#[derive(Serialize)]
struct VectorList<'v> {
    object: &'static str,
    data: Vec<ListedVector<'v>>,
    model: &'v str,
    usage: Value,
}

#[derive(Serialize)]
struct ListedVector<'v> {
    object: &'static str,
    index: usize,
    embedding: EncodedVector<'v>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EncodedVector<'v> {
    Numbers(&'v [f32]),
    /// The floats in little-endian order.
    Base64(String),
}

impl EncodedVector<'_> {
    fn of(values: &[f32], encoding: VectorEncoding) -> EncodedVector<'_> {
        match encoding {
            VectorEncoding::Numbers => EncodedVector::Numbers(values),
            VectorEncoding::Base64 => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                EncodedVector::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

/// The vectors, in the order of their inputs.
pub fn answer(
    model: &str,
    vectors: &[EmbeddedContent],
    encoding: VectorEncoding,
) -> serde_json::Result<String> {
    let data = vectors.iter().enumerate().map(|(index, vector)| ListedVector {
        object: "embedding",
        index,
        embedding: EncodedVector::of(&vector.values, encoding),
    });
    let tokens: u64 = vectors.iter().map(|vector| vector.tokens.total()).sum();
    serde_json::to_string(&VectorList {
        object: "list",
        data: data.collect(),
        model,
        usage: json!({"prompt_tokens": tokens, "total_tokens": tokens}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(input: Value, others: &[(&str, Value)]) -> Result<EmbeddingsRequest, String> {
        let mut body = json!({"model": "models/m", "input": input});
        for (name, value) in others {
            body[*name] = value.clone();
        }
        read(body).map_err(|error| error.to_string())
    }

    #[test]
    fn one_text_or_several_are_read() {
        let options = [("dimensions", json!(8)), ("encoding_format", json!("base64"))];
        let one = with(json!("a"), &options).expect("it is valid");
        assert_eq!((one.model.as_str(), one.contents.len()), ("m", 1));
        assert_eq!((one.contents[0].dimensions, one.encoding), (Some(8), VectorEncoding::Base64));
        let several = with(json!(["a", "b"]), &[("user", json!("u"))]).expect("it is valid");
        assert_eq!((several.contents.len(), several.encoding), (2, VectorEncoding::Numbers));
        with(vec!["a"; 100].into(), &[]).expect("it is the most");
    }

    #[test]
    fn what_cannot_be_embedded_is_rejected() {
        let tokens = "tokens cannot be embedded, only texts";
        for (input, wanted) in [
            (json!([1, 2]), tokens),
            (json!([[1, 2], [3]]), tokens),
            (json!(7), tokens),
            (json!(""), "'input': contains an empty Part"),
            (json!(["a", ""]), "'input[1]': contains an empty Part"),
            (json!([]), "requests is not specified"),
            (json!({}), "expected a string, got an object"),
            (vec!["a"; 101].into(), "at most 100 requests"),
        ] {
            let error = with(input.clone(), &[]).expect_err("it is rejected");
            assert!(error.contains(wanted), "{input} gave {error}");
        }
        for (name, value, wanted) in [
            ("dimensions", json!(0), "'dimensions': must be positive"),
            ("encoding_format", json!("x"), "'x' is not one of float, base64"),
            ("other", json!(1), "Unknown parameter 'other'."),
        ] {
            let error = with(json!("a"), &[(name, value)]).expect_err("it is rejected");
            assert!(error.contains(wanted), "{name} gave {error}");
        }
    }
}
