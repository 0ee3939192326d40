//! Embeddings of the upstream.

use serde::Deserialize;
use serde_json::json;

use crate::backends::upstream::{OwnersUpstream, UpstreamError, embedding};
use backend::{Embed, EmbedInput, EmbedPart, Embedded};

#[derive(Deserialize)]
struct OpenAiVectors {
    data: Vec<OpenAiVector>,
    usage: Option<OpenAiVectorUsage>,
}

#[derive(Deserialize)]
struct OpenAiVector {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct OpenAiVectorUsage {
    prompt_tokens: Option<u64>,
}

pub async fn embed(
    upstream: &OwnersUpstream<'_>,
    model: &str,
    request: &Embed,
) -> Result<Embedded, UpstreamError> {
    let texts = request.inputs.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    // Sizes are not requested: many of these servers know none, and a shortened vector is the start of
    // the whole one.
    let body = json!({"model": model, "input": texts, "encoding_format": "float"});
    let reply = upstream.ask("/embeddings", &[], &body, |_| false).await?;
    let OpenAiVectors { mut data, usage } = embedding::read(reply)?;
    data.sort_by_key(|item| item.index);
    let vectors = data.into_iter().map(|item| item.embedding).collect();
    let tokens = usage.and_then(|usage| usage.prompt_tokens);
    embedding::checked(Embedded { vectors, tokens }, request)
}

fn text(input: &EmbedInput) -> Result<String, UpstreamError> {
    let texts = input.parts.iter().map(|part| match part {
        EmbedPart::Text(text) => Ok(text.as_str()),
        EmbedPart::Media { .. } => {
            let why = "This model embeds texts alone, not pictures, sound or documents.";
            Err(UpstreamError::Refused(why.to_owned()))
        }
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}
