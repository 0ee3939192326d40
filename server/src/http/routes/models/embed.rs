//! `embedContent`, `batchEmbedContents`, and `predict` of Vertex AI.

use axum::response::Response;
use serde_json::Value;

use super::{ModelCall, embeds};
use crate::embedding::Family;
use crate::engine::{EmbedContent, EmbedRequest};
use crate::http::embeddings::answer::{self, EmbedUsage};
use crate::http::embeddings::request;
use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::aside;
use crate::http::response::pieces;
use crate::http::vertex::Dialect;
use crate::http::vertex::tokens::billable_characters_of;

/// The method, and so the form of the request and of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbedMethod {
    Single,
    Batch,
    /// Of Vertex AI alone.
    Predict,
}

impl EmbedMethod {
    fn name(self) -> &'static str {
        match self {
            EmbedMethod::Single => "embedContent",
            EmbedMethod::Batch => "batchEmbedContents",
            EmbedMethod::Predict => "predict",
        }
    }
}

pub async fn embed(
    call: ModelCall,
    method: EmbedMethod,
    body: Value,
) -> Result<Response, ApiError> {
    let ModelCall { app, owner, dialect, model, .. } = call;
    embeds(&app, &dialect, &model, method.name())?;
    let service = dialect.clone();
    let read = aside(body, move |body| match method {
        EmbedMethod::Single => request::single(body, &service).map(|content| vec![content]),
        EmbedMethod::Batch => request::batch(body, &service),
        EmbedMethod::Predict => request::predict(body),
    });
    let contents: Vec<EmbedContent> = read.await.map_err(invalid_payload)?;
    let characters = contents.iter().map(|content| billable_characters_of(&content.parts)).sum();
    let budget = app.sandbox.budget().of(&owner);
    let request = EmbedRequest { model: model.clone(), contents, owner };
    let vectors = app.engine.embed(request).await?;
    pieces::answer(&budget, || {
        let usage = usage_form(&dialect, &model);
        let json = match (method, &vectors[..]) {
            (EmbedMethod::Single, [vector]) => answer::single(vector, usage),
            (EmbedMethod::Predict, vectors) => answer::predictions(vectors, characters),
            (_, vectors) => answer::batch(vectors, usage),
        };
        json.map_err(ApiError::internal)
    })
}

fn usage_form(dialect: &Dialect, model: &str) -> EmbedUsage {
    match dialect {
        Dialect::Vertex(_) => EmbedUsage::Vertex,
        Dialect::Gemini if Family::of_model(model).is_none_or(|family| family.counts_tokens) => {
            EmbedUsage::Gemini
        }
        Dialect::Gemini => EmbedUsage::None,
    }
}
