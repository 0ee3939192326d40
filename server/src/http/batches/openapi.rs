//! Schemas of batches for the OpenAPI document.

use serde_json::{Value, json};

#[cfg(test)]
use super::request as reader;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::RequestBody;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, answer, any_object, any_of, list, request, text, time,
};

pub static CREATE_BATCH: RequestBody = RequestBody {
    schema: &BATCH_TO_CREATE,
    #[cfg(test)]
    reader: BodyReader {
        refused: || vec!["batch.webhookConfig".into()],
        ..BodyReader::new(|body| reader::create("m", body).map(drop), samples)
    },
};

#[cfg(test)]
fn samples() -> Vec<Value> {
    let requests = json!([{"request": {}, "metadata": {"key": "k"}}]);
    let inline = json!({"displayName": "d", "model": "models/m", "name": "batches/a",
        "priority": "1", "inputConfig": {"requests": {"requests": requests}}});
    let file = json!({"inputConfig": {"fileName": "files/a"}});
    [inline, file].into_iter().map(|batch| json!({"batch": batch})).collect()
}

pub static CREATE_EMBED_BATCH: RequestBody = RequestBody {
    schema: &EMBED_BATCH_TO_CREATE,
    #[cfg(test)]
    reader: BodyReader {
        refused: || vec!["batch.webhookConfig".into()],
        ..BodyReader::new(|body| reader::create("m", body).map(drop), samples)
    },
};

static BATCH_TO_CREATE: Schema =
    Schema::new("BatchToCreate", |_| batch_to_create("A body of `generateContent`."));
static EMBED_BATCH_TO_CREATE: Schema =
    Schema::new("EmbedBatchToCreate", |_| batch_to_create("A body of `embedContent`."));

fn batch_to_create(about_request: &str) -> Value {
    let line = request(
        &["request"],
        json!({
            "request": any_object(about_request),
            "metadata": any_object("Returned with the result."),
        }),
    );
    let requests = json!({"type": "array", "minItems": 1, "maxItems": 10_000, "items": line});
    let input = any_of(&[
        request(
            &["requests"],
            json!({"requests": request(&["requests"], json!({"requests": requests}))}),
        ),
        request(
            &["fileName"],
            json!({"fileName": text("An uploaded file. Each line is an object with `request` and `key`.")}),
        ),
    ]);
    let batch = json!({
        "displayName": {"type": "string"},
        "model": {"type": "string"},
        "name": {"type": "string"},
        "priority": any_of(&[json!({"type": "integer"}), text("The number as a string.")]),
        "inputConfig": input,
    });
    request(&["batch"], json!({"batch": request(&["inputConfig"], batch)}))
}

pub static BATCH: Schema = Schema::new("Batch", |_| {
    let string = || json!({"type": "string"});
    let number = || json!({"type": "string", "pattern": "^[0-9]+$"});
    let counts =
        ["requestCount", "pendingRequestCount", "successfulRequestCount", "failedRequestCount"];
    let stats = json!({
        "requestCount": number(),
        "pendingRequestCount": number(),
        "successfulRequestCount": number(),
        "failedRequestCount": number(),
    });
    let metadata = json!({
        "@type": string(),
        "name": text("`batches/` and the id."),
        "model": text("`models/` and the name."),
        "displayName": string(),
        "state": json!({"type": "string", "pattern": "^BATCH_STATE_[A-Z]+$"}),
        "createTime": time("With a precision of milliseconds."),
        "updateTime": time("With a precision of milliseconds."),
        "endTime": time("With a precision of milliseconds."),
        "batchStats": answer(&counts, stats),
        "output": any_object("The results, or the name of the file that has them."),
    });
    let fields = json!({
        "name": text("`batches/` and the id."),
        "metadata": answer(&["endTime", "output"], metadata),
        "done": {"type": "boolean", "const": true},
        "response": any_object("As `metadata.output`."),
        "error": answer(&[], json!({"code": {"type": "integer"}, "message": string()})),
    });
    answer(&["done", "response", "error"], fields)
});

pub static BATCHES: Schema = Schema::new("Batches", |schemas: &ComponentSchemas| {
    let fields =
        json!({"operations": list(schemas.named(&BATCH)), "nextPageToken": {"type": "string"}});
    answer(&["operations", "nextPageToken"], fields)
});
