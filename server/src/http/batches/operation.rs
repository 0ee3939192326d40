//! Writes batches, as long-running operations.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use store::{BatchMethod, BatchState, StoredBatch};

const PACKAGE: &str = "type.googleapis.com/google.ai.generativelanguage.v1main";

/// The operation of a batch. `output` are its results, if the client gets them.
pub fn operation(batch: &StoredBatch, output: Option<Value>) -> Value {
    let name = format!("batches/{}", batch.id);
    let kind = match batch.method {
        BatchMethod::GenerateContent => "GenerateContentBatch",
        BatchMethod::EmbedContent => "EmbedContentBatch",
    };
    let mut metadata = json!({
        "@type": format!("{PACKAGE}.{kind}"),
        "model": format!("models/{}", batch.model),
        "displayName": batch.display_name,
        "createTime": time(batch.created),
        "updateTime": time(batch.updated),
        "batchStats": stats(batch),
        "state": state(batch.state),
        "name": name,
    });
    if let Some(ended) = batch.ended {
        metadata["endTime"] = time(ended).into();
    }
    // Twice, as in the real service: the SDKs read the first, other clients the second.
    if let Some(output) = &output {
        metadata["output"] = output.clone();
    }
    let mut json = json!({"name": name, "metadata": metadata});
    match batch.state {
        BatchState::Pending | BatchState::Running => return json,
        BatchState::Succeeded => {
            let mut response = output.unwrap_or_else(|| json!({}));
            response["@type"] = format!("{PACKAGE}.{kind}Output").into();
            json["response"] = response;
        }
        BatchState::Cancelled => {
            json["error"] = json!({"code": 1, "message": "The batch was cancelled."});
        }
        BatchState::Failed => {
            let why = "The server stopped each time it ran this batch.";
            json["error"] = json!({"code": 13, "message": why});
        }
    }
    json["done"] = true.into();
    json
}

/// Name of the file with the results of a batch.
pub fn results_file(id: &str) -> String {
    format!("files/batch-{id}")
}

pub fn time(time: Timestamp) -> String {
    format!("{time:.9}")
}

fn state(state: BatchState) -> String {
    format!("BATCH_STATE_{}", state.as_str().to_uppercase())
}

/// 64-bit integers, which protobuf writes as strings. Zeros are left out.
fn stats(batch: &StoredBatch) -> Value {
    let pending = batch.requests.saturating_sub(batch.succeeded + batch.failed);
    let counts = [
        ("requestCount", batch.requests),
        ("pendingRequestCount", pending),
        ("successfulRequestCount", batch.succeeded),
        ("failedRequestCount", batch.failed),
    ];
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    Value::Object(Map::from_iter(
        counts.map(|(name, count)| (name.to_owned(), count.to_string().into())),
    ))
}
