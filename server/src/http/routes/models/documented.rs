//! The routes of models, and their description in the OpenAPI document.

use axum::routing;
use serde_json::{Value, json};

use super::description::{LISTED, MODEL, PROJECT_MODELS, PUBLISHER_MODEL, PUBLISHER_MODELS, TUNED};
use super::{call, change, get, list, list_tuned};
use crate::http::batches::openapi::{BATCH as BATCH_OPERATION, CREATE_BATCH, CREATE_EMBED_BATCH};
use crate::http::embeddings::openapi::{
    BATCH, EMBED, EMBEDDED, EMBEDDED_BATCH, PREDICT, PREDICTED, VERTEX_BATCH, VERTEX_EMBED,
    VERTEX_EMBEDDED, VERTEX_EMBEDDED_BATCH,
};
use crate::http::error::schema::{CLASSIC_ERROR, VERTEX_STREAM_ERROR};
use crate::http::generate_content::openapi::{
    COUNT, COUNT_TOKENS_RESPONSE, GENERATE, GENERATE_CONTENT_RESPONSE,
    VERTEX_COUNT_TOKENS_RESPONSE, VERTEX_GENERATE, VERTEX_GENERATE_CONTENT_RESPONSE,
};
use crate::http::openapi::parameter::{in_path, in_query, namespace, page, version};
use crate::http::openapi::schema::{Schema, any_of, list as list_of, text, word};
use crate::http::openapi::{JSON, MODELS, Operation, RequestBody};
use crate::http::route::Route;
use crate::http::routes::vertex::VertexPlace;
use crate::http::vertex::tokens::{COMPUTE, COMPUTE_TOKENS_RESPONSE};

const FOR_TUNED: &str = "For tuned models, which do not exist here: 404";

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, MODELS, summary).with([version()]);
    let tuned = |id| new(id, FOR_TUNED).at("/models/{model}").with([name()]);
    let mut posts = methods(&GEMINI, "/models/{model}", new);
    posts.push(
        new("batchGenerateContent", "Runs many requests in the background")
            .at("/models/{model}:batchGenerateContent")
            .with([name(), namespace()])
            .takes(&CREATE_BATCH)
            .answers(&BATCH_OPERATION),
    );
    posts.push(
        new("asyncBatchEmbedContent", "Embeds many contents in the background")
            .at("/models/{model}:asyncBatchEmbedContent")
            .with([name(), namespace()])
            .takes(&CREATE_EMBED_BATCH)
            .answers(&BATCH_OPERATION),
    );
    vec![
        Route::get(
            "/models",
            list,
            new("listModels", "Lists the known models").with(page()).answers(&LISTED),
        ),
        Route::get(
            "/models/{*rest}",
            get,
            new("getModel", "A model").at("/models/{model}").with([name()]).answers(&MODEL),
        ),
        Route {
            path: "/models/{*rest}",
            method: "post",
            handler: routing::post(call),
            operations: posts,
        },
        Route::patch("/models/{*rest}", change, tuned("changeModel")),
        Route::delete("/models/{*rest}", change, tuned("deleteModel")),
        Route::get(
            "/tunedModels",
            list_tuned,
            new("listTunedModels", "Returns an empty list: tuning is not supported")
                .with(page())
                .answers(&TUNED),
        ),
    ]
}

/// What the methods of a dialect take and return.
struct MethodTypes {
    stream_error: &'static Schema,
    generate: &'static RequestBody,
    generated: &'static Schema,
    count: &'static RequestBody,
    counted: &'static Schema,
    embed: &'static RequestBody,
    embedded: &'static Schema,
    batch: &'static RequestBody,
    embedded_batch: &'static Schema,
}

static GEMINI: MethodTypes = MethodTypes {
    stream_error: &CLASSIC_ERROR,
    generate: &GENERATE,
    generated: &GENERATE_CONTENT_RESPONSE,
    count: &COUNT,
    counted: &COUNT_TOKENS_RESPONSE,
    embed: &EMBED,
    embedded: &EMBEDDED,
    batch: &BATCH,
    embedded_batch: &EMBEDDED_BATCH,
};
static VERTEX: MethodTypes = MethodTypes {
    stream_error: &VERTEX_STREAM_ERROR,
    generate: &VERTEX_GENERATE,
    generated: &VERTEX_GENERATE_CONTENT_RESPONSE,
    count: &VERTEX_GENERATE,
    counted: &VERTEX_COUNT_TOKENS_RESPONSE,
    embed: &VERTEX_EMBED,
    embedded: &VERTEX_EMBEDDED,
    batch: &VERTEX_BATCH,
    embedded_batch: &VERTEX_EMBEDDED_BATCH,
};

fn name() -> Value {
    let schema = json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "examples": ["direct"]});
    in_path("model", schema)
}

/// The methods of the model at this path.
fn methods(
    types: &'static MethodTypes,
    model: &str,
    new: impl Fn(&'static str, &'static str) -> Operation,
) -> Vec<Operation> {
    let at = |method: &str| format!("{model}:{method}");
    let encoding = || in_query("$alt", word(&["json", "json;enum-encoding=int"]));
    vec![
        new("generateContent", "Asks the model, runs its code, and returns every part")
            .at(at("generateContent"))
            .about(
                "Requests are protobuf's JSON: each name may be written in `camelCase` or in \
                 `snake_case`, numbers as strings, and values of enums as numbers.",
            )
            .with([name(), namespace(), encoding()])
            .takes(types.generate)
            .answers(types.generated),
        new(
            "streamGenerateContent",
            "Like `generateContent`, but streamed: as events, or as a list without `alt=sse`",
        )
        .at(at("streamGenerateContent"))
        .with([name(), namespace(), in_query("alt", word(&["sse", "json"])), encoding()])
        .takes(types.generate)
        .fails_as(types.stream_error)
        .answers_as(JSON, move |schemas| {
            let items = [schemas.named(types.generated), schemas.named(&CLASSIC_ERROR)];
            list_of(any_of(&items))
        })
        .streams(types.generated),
        new("countTokens", "Estimates the number of tokens of a request")
            .at(at("countTokens"))
            .with([name()])
            .takes(types.count)
            .answers(types.counted),
        new("embedContent", "Returns the embedding of a content")
            .at(at("embedContent"))
            .with([name()])
            .takes(types.embed)
            .answers(types.embedded),
        new("batchEmbedContents", "Returns the embeddings of up to 100 contents")
            .at(at("batchEmbedContents"))
            .with([name()])
            .takes(types.batch)
            .answers(types.embedded_batch),
    ]
}

/// The operations of a place of Vertex AI, each with its method.
pub fn vertex_operations(place: &VertexPlace) -> Vec<(&'static str, Operation)> {
    let new = |id: &'static str, summary| place.operation(id, MODELS, summary);
    let mut found = Vec::new();
    if place.has_models() {
        let model = "/models/{model}";
        let mut posts = methods(&VERTEX, model, new);
        posts.push(
            new("computeTokens", "Splits contents into tokens")
                .about("The tokens are this server's: four letters each.")
                .at(format!("{model}:computeTokens"))
                .with([name()])
                .takes(&COMPUTE)
                .answers(&COMPUTE_TOKENS_RESPONSE),
        );
        posts.push(
            new("predict", "Returns the embeddings of up to 250 texts")
                .at(format!("{model}:predict"))
                .with([name()])
                .takes(&PREDICT)
                .answers(&PREDICTED),
        );
        found.extend(posts.into_iter().map(|operation| ("post", operation)));
    }
    if place.lists_publishers() {
        let listed = new("listPublisherModels", "Lists the known models");
        let model = new("getPublisherModel", "A model").at("/models/{model}").with([name()]);
        found.push(("get", listed.at("/models").with(page()).answers(&PUBLISHER_MODELS)));
        found.push(("get", model.answers(&PUBLISHER_MODEL)));
        for (method, id) in [("patch", "changePublisherModel"), ("delete", "deletePublisherModel")]
        {
            let tuned = new(id, FOR_TUNED).at("/models/{model}").with([name()]);
            found.push((method, tuned));
        }
    }
    if place.lists_tuned() {
        let listed = new("listProjectModels", "Returns an empty list: tuning is not supported");
        let filter = in_query("filter", text("Accepted and ignored."));
        let listed = listed.at("/models").with(page()).with([filter]);
        found.push(("get", listed.answers(&PROJECT_MODELS)));
    }
    found
}
