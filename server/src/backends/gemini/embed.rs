//! Embeddings of the upstream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::backends::upstream::{OwnersUpstream, UpstreamError, embedding};
use backend::{Embed, EmbedInput, EmbedPart, Embedded, MediaContent};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiVectors {
    embeddings: Vec<GeminiVector>,
    usage_metadata: Option<GeminiVectorUsage>,
}

#[derive(Deserialize)]
struct GeminiVector {
    values: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeminiVectorUsage {
    prompt_token_count: Option<u64>,
}

pub async fn embed(
    upstream: &OwnersUpstream<'_>,
    model: &str,
    request: &Embed,
) -> Result<Embedded, UpstreamError> {
    let inputs = request.inputs.iter().map(|input| body(model, input));
    let body = json!({"requests": inputs.collect::<Result<Vec<_>, _>>()?});
    let path = format!("/models/{model}:batchEmbedContents");
    let reply = upstream.ask(&path, &[], &body, |_| false).await?;
    let GeminiVectors { embeddings, usage_metadata } = embedding::read(reply)?;
    let vectors = embeddings.into_iter().map(|item| item.values).collect();
    let tokens = usage_metadata.and_then(|usage| usage.prompt_token_count);
    embedding::complete(Embedded { vectors, tokens }, request)
}

fn body(model: &str, input: &EmbedInput) -> Result<Value, UpstreamError> {
    let parts = input.parts.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    let mut body = json!({"model": format!("models/{model}"), "content": {"parts": parts}});
    if let Some(task_type) = &input.task_type {
        body["taskType"] = task_type.as_str().into();
    }
    if let Some(title) = &input.title {
        body["title"] = title.as_str().into();
    }
    if let Some(dimensions) = input.dimensions {
        body["outputDimensionality"] = dimensions.into();
    }
    Ok(body)
}

fn part(part: &EmbedPart) -> Result<Value, UpstreamError> {
    match part {
        EmbedPart::Text(text) => Ok(json!({"text": text})),
        EmbedPart::Media { mime_type, content: MediaContent::Here(bytes) } => {
            Ok(json!({"inlineData": {"mimeType": mime_type, "data": STANDARD.encode(bytes)}}))
        }
        EmbedPart::Media { content: MediaContent::Stored(_), .. } => {
            let why = "An uploaded file cannot be embedded by this model. Send it inline.";
            Err(UpstreamError::Refused(why.to_owned()))
        }
    }
}
