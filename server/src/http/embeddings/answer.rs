//! The answers of the methods that embed.

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::EmbeddedContent;
use crate::http::generate_content::usage::details;
use domain::interaction::Tokens;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SingleAnswer<'v> {
    embedding: VectorValues<'v>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchAnswer<'v> {
    embeddings: Vec<VectorValues<'v>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_metadata: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LineAnswer<'v> {
    embedding: VectorValues<'v>,
    token_count: String,
}

#[derive(Serialize)]
struct VectorValues<'v> {
    values: &'v [f32],
}

#[derive(Serialize)]
struct PredictAnswer<'v> {
    predictions: Vec<Prediction<'v>>,
    metadata: Value,
}

#[derive(Serialize)]
struct Prediction<'v> {
    embeddings: WithStatistics<'v>,
}

#[derive(Serialize)]
struct WithStatistics<'v> {
    values: &'v [f32],
    statistics: Value,
}

/// The counts of an answer: of the Gemini API, which some models lack, or of Vertex AI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedUsage {
    None,
    Gemini,
    Vertex,
}

impl EmbedUsage {
    fn of(self, tokens: Tokens) -> Option<Value> {
        let (count, details) = (tokens.total(), details(&tokens));
        match self {
            EmbedUsage::None => None,
            // Each service has its own spelling.
            EmbedUsage::Gemini => {
                Some(json!({"promptTokenCount": count, "promptTokenDetails": details}))
            }
            EmbedUsage::Vertex => Some(json!({
                "promptTokenCount": count, "promptTokensDetails": details, "totalTokenCount": count,
            })),
        }
    }
}

/// `embedContent`
pub fn single(vector: &EmbeddedContent, usage: EmbedUsage) -> serde_json::Result<String> {
    let truncated = (usage == EmbedUsage::Vertex).then_some(vector.is_truncated);
    let embedding = VectorValues { values: &vector.values };
    let usage_metadata = usage.of(vector.tokens);
    serde_json::to_string(&SingleAnswer { embedding, usage_metadata, truncated })
}

/// `batchEmbedContents`
pub fn batch(vectors: &[EmbeddedContent], usage: EmbedUsage) -> serde_json::Result<String> {
    let embeddings = vectors.iter().map(|vector| VectorValues { values: &vector.values }).collect();
    let tokens = vectors.iter().map(|vector| vector.tokens).sum();
    serde_json::to_string(&BatchAnswer { embeddings, usage_metadata: usage.of(tokens) })
}

/// The answer of a request in a batch that runs in the background.
pub fn line(vector: &EmbeddedContent) -> serde_json::Result<String> {
    let embedding = VectorValues { values: &vector.values };
    // A 64-bit integer, which protobuf writes as a string.
    serde_json::to_string(&LineAnswer { embedding, token_count: vector.tokens.total().to_string() })
}

/// `predict`
pub fn predictions(
    vectors: &[EmbeddedContent],
    billable_characters: u64,
) -> serde_json::Result<String> {
    let prediction = |vector: &'_ EmbeddedContent| {
        let count = vector.tokens.total();
        json!({"token_count": count, "truncated": vector.is_truncated})
    };
    let predictions = vectors.iter().map(|vector| Prediction {
        embeddings: WithStatistics { values: &vector.values, statistics: prediction(vector) },
    });
    let metadata = json!({"billableCharacterCount": billable_characters});
    serde_json::to_string(&PredictAnswer { predictions: predictions.collect(), metadata })
}
