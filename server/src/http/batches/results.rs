//! The results of a batch: in its operation, or as a file.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::operation::{operation, results_file};
use crate::http::error::ApiError;
use crate::http::extract::body::holding;
use crate::http::response::json::{escaped, json as answer};
use crate::http::{App, JSON};
use domain::ids;
use resources::budget::Budget;
use store::{BatchResult, StoreError, StoredBatch};

/// Copies of the results in memory: as they were read, and twice in the operation.
const COPIES: usize = 3;

/// The operation of a batch with its results, if it has succeeded.
pub async fn with_results(
    app: &App,
    batch: &StoredBatch,
    budget: &Budget,
) -> Result<Response, ApiError> {
    if !batch.state.has_ended() {
        return Ok(answer(&operation(batch, None)));
    }
    if batch.is_file {
        let file = json!({"responsesFile": results_file(&batch.id)});
        return Ok(answer(&operation(batch, Some(file))));
    }
    let bytes = batch.response_bytes.saturating_add(batch.request_bytes);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(COPIES);
    let memory = budget.take(bytes).ok_or_else(ApiError::no_memory)?;
    let mut results = String::new();
    for line in 0..batch.requests {
        if let Some(result) = app.store.batches().result(&batch.id, line).await? {
            results.push_str(if results.is_empty() { "[" } else { "," });
            results.push_str(&object(&result, "metadata"));
        }
    }
    results.push_str(if results.is_empty() { "[]" } else { "]" });
    // The results are JSON already: they replace a text that no client can know.
    let place = ids::cached_content();
    let inlined = json!({"inlinedResponses": {"inlinedResponses": place}});
    let json = operation(batch, Some(inlined)).to_string();
    let json = escaped(json.replace(&format!("\"{place}\""), &results));
    let response = ([(CONTENT_TYPE, JSON)], json).into_response();
    Ok(holding(response, memory))
}

/// The results of a batch, one on each line.
pub fn download(app: App, batch: StoredBatch, budget: Budget) -> Response {
    let lines = async_stream::stream! {
        let batches = app.store.batches();
        for line in 0..batch.requests {
            match batches.result(&batch.id, line).await {
                Ok(None) => {}
                Ok(Some(result)) => {
                    let json = object(&result, "key");
                    let _memory = budget.wait_for(json.len()).await;
                    yield Ok::<_, StoreError>(Bytes::from(json + "\n"));
                }
                Err(error) => {
                    yield Err(error);
                    return;
                }
            }
        }
    };
    ([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response()
}

/// The object of a result, with the client's key under this name.
fn object(result: &BatchResult, name: &str) -> String {
    match (&result.key, result.response.strip_suffix('}')) {
        (Some(key), Some(fields)) => format!("{fields},\"{name}\":{key}}}"),
        _ => result.response.clone(),
    }
}
