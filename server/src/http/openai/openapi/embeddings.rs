//! `embeddings`

use serde_json::{Value, json};

#[cfg(test)]
use crate::http::openai::embeddings as reader;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{
    Schema, answer, any_of, base64, count, list, only, request, text, word,
};

pub static EMBED_TEXTS: RequestBody = RequestBody {
    schema: &EMBEDDINGS_REQUEST,
    #[cfg(test)]
    reader: BodyReader::new(|body| reader::read(body).map(drop), samples),
};

#[cfg(test)]
fn samples() -> Vec<Value> {
    let one = json!({"model": "m", "input": "a", "dimensions": 1, "encoding_format": "float", "user": "u"});
    let several = json!({"model": "m", "input": ["a", "b"], "encoding_format": "base64"});
    vec![one, several]
}

static EMBEDDINGS_REQUEST: Schema = Schema::new("EmbeddingsRequest", |_| {
    let input = || json!({"type": "string", "minLength": 1});
    let inputs = json!({"type": "array", "items": input(), "minItems": 1, "maxItems": 100});
    let fields = json!({
        "model": text("With or without `models/` or `google/` before it."),
        "input": any_of(&[input(), inputs]),
        "dimensions": {"type": "integer", "minimum": 1},
        "encoding_format": word(&["float", "base64"]),
        "user": {"type": "string"},
    });
    request(&["model", "input"], fields)
});

pub static TEXT_EMBEDDINGS: Schema = Schema::new("TextEmbeddings", |_| {
    let vector: Value =
        any_of(&[list(json!({"type": "number"})), base64("Floats of 4 bytes, little-endian.")]);
    let item = answer(
        &[],
        json!({"object": only("embedding"), "index": count("From 0."), "embedding": vector}),
    );
    let usage = answer(
        &[],
        json!({"prompt_tokens": count("Of all inputs."), "total_tokens": count("The same.")}),
    );
    let fields = json!({
        "object": only("list"),
        "data": list(item),
        "model": {"type": "string"},
        "usage": usage,
    });
    answer(&[], fields)
});
