//! Runs one request of a batch.

use std::fmt::Display;
use std::sync::Arc;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::request::other_model;
use crate::engine::EmbedRequest;
use crate::http::App;
use crate::http::cached_contents::resolve::{Resolved, resolve};
use crate::http::embeddings;
use crate::http::error::{ApiError, Code, invalid_payload};
use crate::http::extract::body::aside;
use crate::http::generate_content::answer::About;
use crate::http::generate_content::prefix::named;
use crate::http::generate_content::request::{self, Generate};
use crate::http::generate_content::whole::{ended, whole};
use crate::http::vertex::Dialect;
use domain::interaction::{Delta, Event, Media, Source};
use domain::namespace::Namespace;
use parse::json::parse;
use resources::budget::Share;
use store::{BatchMethod, LogEntry, MAX_BATCH_BYTES, StoredBatch};

/// Copies of the media of a result in memory: in the log, as JSON, and twice as the text that is stored.
const COPIES: usize = 5;
/// Maximum size of a result.
const MAX_RESULT_BYTES: usize = 32 << 20;

/// The JSON of a result.
#[derive(Debug)]
pub struct LineResult {
    pub json: String,
    pub is_error: bool,
    /// Reserved for it until it is stored.
    pub memory: Share,
}

/// Answers the request of a line. `memory` is that of the request, held until it is answered.
pub async fn result(
    app: &App,
    batch: &StoredBatch,
    keys: Arc<[SecretString]>,
    request: String,
    memory: Share,
) -> LineResult {
    answer(app, batch, keys, request, memory).await.unwrap_or_else(|error| LineResult {
        json: json!({"error": error.rpc_status()}).to_string(),
        is_error: true,
        memory: Share::default(),
    })
}

fn response(answer: impl Display, memory: Share) -> LineResult {
    LineResult { json: format!("{{\"response\":{answer}}}"), is_error: false, memory }
}

async fn answer(
    app: &App,
    batch: &StoredBatch,
    keys: Arc<[SecretString]>,
    request: String,
    memory: Share,
) -> Result<LineResult, ApiError> {
    let body = parse(request.as_bytes()).map_err(ApiError::internal)?;
    drop(request);
    if let Some(other) = other_model(&batch.model, &body) {
        let why = format!("The model '{other}' of the request is not that of the batch.");
        return Err(ApiError::invalid(why));
    }
    match batch.method {
        BatchMethod::GenerateContent => generate(app, batch, keys, body, memory).await,
        BatchMethod::EmbedContent => embed(app, batch, body).await,
    }
}

async fn embed(app: &App, batch: &StoredBatch, body: Value) -> Result<LineResult, ApiError> {
    let read = |body| embeddings::request::single(body, &Dialect::Gemini);
    let content = aside(body, read).await.map_err(invalid_payload)?;
    let (model, owner) = (batch.model.clone(), batch.owner.clone());
    let vectors = app.engine.embed(EmbedRequest { model, contents: vec![content], owner }).await?;
    let [vector] = &vectors[..] else {
        return Err(ApiError::internal(anyhow::anyhow!("one content has one vector")));
    };
    let answer = embeddings::answer::line(vector).map_err(ApiError::internal)?;
    Ok(response(answer, Share::default()))
}

async fn generate(
    app: &App,
    batch: &StoredBatch,
    keys: Arc<[SecretString]>,
    body: Value,
    mut memory: Share,
) -> Result<LineResult, ApiError> {
    let model = batch.model.clone();
    let Resolved { prefix, memory: of_cache } =
        resolve(app, &batch.owner, &model, named(&body), &Dialect::Gemini).await?;
    memory.add(of_cache);
    let own = app.engine.has_own_signatures(&model);
    let read = move |body| request::generate(&model, body, own, prefix, &Dialect::Gemini);
    let Generate { mut request, thoughts, cached, invocations } =
        aside(body, read).await.map_err(invalid_payload)?;
    request.owner = batch.owner.clone();
    request.keys = keys;
    let tier = request.service_tier;
    let namespace = Namespace::named(&batch.namespace).unwrap_or_default();
    let running = app.engine.start_in(&namespace.of(batch.owner.clone()), request).await?;
    let (entries, end) = ended(running.log()).await?;
    let bytes = entries.iter().map(media_bytes).sum::<usize>();
    if bytes > MAX_RESULT_BYTES {
        return Err(too_large());
    }
    // Nothing is held while waiting: what is held might be what is missing.
    drop(memory);
    running.log().release_memory();
    let budget = app.sandbox.budget().of(&batch.owner);
    let memory = budget.wait_for(COPIES * bytes).await;
    let (model, id) = (batch.model.clone(), running.response_id());
    let about = About { model, id, tier, enum_numbers: false, cached, invocations, vertex: None };
    Ok(response(whole(&entries, end, &about, thoughts), memory))
}

/// The result of a request whose answer would exceed the limit of its owner.
pub fn no_space() -> String {
    let why = format!(
        "The batches of one key can have at most {} MiB. Delete some.",
        MAX_BATCH_BYTES >> 20
    );
    let error = ApiError::new(Code::ResourceExhausted, why);
    json!({"error": error.rpc_status()}).to_string()
}

fn too_large() -> ApiError {
    let why = format!("The files of an answer have more than {} MiB.", MAX_RESULT_BYTES >> 20);
    ApiError::invalid(why)
}

fn media_bytes(entry: &LogEntry) -> usize {
    match &entry.event {
        Event::StepDelta {
            delta: Delta::Media(Media { source: Source::Inline(bytes), .. }),
            ..
        } => bytes.len(),
        _ => 0,
    }
}
