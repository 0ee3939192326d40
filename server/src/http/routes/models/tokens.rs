//! `countTokens`, and `computeTokens` of Vertex AI.

use axum::response::Response;
use serde_json::Value;

use super::ModelCall;
use crate::http::cached_contents::resolve::{Resolved, resolve};
use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::{aside, blocking};
use crate::http::generate_content::prefix::named;
use crate::http::generate_content::request;
use crate::http::generate_content::usage::counted;
use crate::http::response::json::json;
use crate::http::response::pieces;
use crate::http::vertex::tokens;
use crate::http::wire::proto;
use parse::json::JsonSize;

/// Maximum size of the texts of `computeTokens`, whose answer is much larger.
const MAX_COMPUTED_BYTES: usize = 1 << 20;
/// Bytes of memory for each byte of text while its tokens are computed, as measured.
const BYTES_PER_BYTE: usize = 105;

pub async fn count(call: ModelCall, body: Value) -> Result<Response, ApiError> {
    let ModelCall { app, owner, dialect, model, query, .. } = call;
    let Resolved { prefix, memory: _memory } =
        resolve(&app, &owner, &model, named(&body), &dialect).await?;
    let cached = prefix.as_ref().map(|prefix| prefix.tokens).unwrap_or_default();
    let service = dialect.clone();
    let read = aside(body, move |body| request::count(&model, body, prefix, &service)).await;
    let mut request = read.map_err(invalid_payload)?;
    request.owner = owner;
    let mut body = counted(&app.engine.count_tokens(&request).await?, &cached);
    if dialect.is_vertex() {
        body["totalBillableCharacters"] = tokens::billable_characters(&request).into();
    }
    if query.enum_numbers {
        proto::with_numbers(&mut body);
    }
    Ok(json(&body))
}

pub async fn compute(call: ModelCall, body: Value) -> Result<Response, ApiError> {
    let budget = call.app.sandbox.budget().of(&call.owner);
    let bytes = JsonSize::of(&body).text_bytes;
    if bytes > MAX_COMPUTED_BYTES {
        let why = format!("computeTokens accepts at most {MAX_COMPUTED_BYTES} bytes of text.");
        return Err(ApiError::invalid(why));
    }
    let memory = budget.take(bytes * BYTES_PER_BYTE).ok_or_else(ApiError::no_memory)?;
    let computed = blocking(move || tokens::compute(body).map(|tokens| tokens.to_string())).await;
    drop(memory);
    let tokens = computed.map_err(invalid_payload)?;
    pieces::answer(&budget, || Ok(tokens))
}
