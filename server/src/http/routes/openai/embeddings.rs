//! `POST /openai/embeddings`

use axum::extract::{Extension, State};
use axum::response::Response;

use crate::engine::EmbedRequest;
use crate::http::App;
use crate::http::error::schema::OPENAI_ERROR;
use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::{Body, aside};
use crate::http::openai::embeddings::{self, EmbeddingsRequest};
use crate::http::openai::openapi::{EMBED_TEXTS, TEXT_EMBEDDINGS};
use crate::http::openapi::parameter::version;
use crate::http::openapi::{OPENAI, Operation};
use crate::http::response::pieces;
use crate::http::route::Route;
use crate::http::routes::models::embeds;
use crate::http::vertex::Dialect;
use store::Owner;

pub fn routes() -> Vec<Route> {
    let operation =
        Operation::new("createEmbeddings", OPENAI, "Returns the embeddings of up to 100 texts")
            .fails_as(&OPENAI_ERROR)
            .with([version()])
            .takes(&EMBED_TEXTS)
            .answers(&TEXT_EMBEDDINGS);
    vec![Route::post("/openai/embeddings", create, operation)]
}

async fn create(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let EmbeddingsRequest { model, contents, encoding } =
        aside(body, embeddings::read).await.map_err(invalid_payload)?;
    embeds(&app, &Dialect::Gemini, &model, "embedContent")?;
    let budget = app.sandbox.budget().of(&owner);
    let vectors = app.engine.embed(EmbedRequest { model: model.clone(), contents, owner }).await?;
    pieces::answer(&budget, || {
        embeddings::answer(&model, &vectors, encoding).map_err(ApiError::internal)
    })
}
