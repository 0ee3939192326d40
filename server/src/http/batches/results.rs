//! The results of a batch: in its operation, or as a file.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, TryStreamExt as _};
use serde_json::json;

use super::operation::{operation, results_file};
use crate::http::response::json::json as answer;
use crate::http::{App, JSON};
use domain::ids;
use resources::budget::Budget;
use store::{BatchResult, StoreError, StoredBatch};

/// Copies of a result in memory: as it was read, with its key, and with separators escaped.
const COPIES: usize = 4;

/// The operation of a batch with its results, if it has ended.
pub fn with_results(app: App, batch: StoredBatch, budget: Budget) -> Response {
    if !batch.state.has_ended() {
        return answer(&operation(&batch, None));
    }
    if batch.is_file {
        let file = json!({"responsesFile": results_file(&batch.id)});
        return answer(&operation(&batch, Some(file)));
    }
    // The results are JSON already: they replace a text that no client can know, wherever it occurs.
    let place = ids::cached_content();
    let inlined = json!({"inlinedResponses": {"inlinedResponses": place}});
    let json = operation(&batch, Some(inlined)).to_string();
    let pieces: Vec<String> = json.split(&format!("\"{place}\"")).map(str::to_owned).collect();
    let body = async_stream::stream! {
        for (at, piece) in pieces.into_iter().enumerate() {
            let mut separator: &'static str = "[";
            if at > 0 {
                for await object in objects(app.clone(), batch.clone(), budget.clone(), "metadata") {
                    // An error ends the response.
                    yield Ok(Bytes::from_static(separator.as_bytes()));
                    yield object.map(Bytes::from);
                    separator = ",";
                }
                yield Ok(Bytes::from(if separator == "[" { "[]" } else { "]" }));
            }
            yield Ok::<_, StoreError>(Bytes::from(piece));
        }
    };
    ([(CONTENT_TYPE, JSON)], Body::from_stream(body)).into_response()
}

/// The results of a batch, one on each line.
pub fn download(app: App, batch: StoredBatch, budget: Budget) -> Response {
    let lines = objects(app, batch, budget, "key").map_ok(|object| Bytes::from(object + "\n"));
    ([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response()
}

/// The results of a batch, with the client's key under this name. One at a time is in memory.
fn objects(
    app: App,
    batch: StoredBatch,
    budget: Budget,
    name: &'static str,
) -> impl Stream<Item = Result<String, StoreError>> + Send {
    async_stream::try_stream! {
        let batches = app.store.batches();
        for line in 0..batch.requests {
            let Some(bytes) = batches.result_bytes(&batch.id, line).await? else { continue };
            let mut memory = budget.wait_for(bytes.saturating_mul(COPIES)).await;
            let Some(result) = batches.result(&batch.id, line).await? else { continue };
            let object = object(result, name);
            // While it is sent, which may take long, it is the only copy.
            memory.reduce_to(object.len());
            yield object;
        }
    }
}

/// The object of a result, with the client's key under this name.
fn object(result: BatchResult, name: &str) -> String {
    match (&result.key, result.response.strip_suffix('}')) {
        (Some(key), Some(fields)) => format!("{fields},\"{name}\":{key}}}"),
        _ => result.response,
    }
}
