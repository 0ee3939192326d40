//! `/openai/models`

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::error::schema::OPENAI_ERROR;
use crate::http::openai::model::{model, models};
use crate::http::openai::openapi::{CHAT_MODEL, CHAT_MODELS};
use crate::http::openapi::parameter::{in_path, version};
use crate::http::openapi::{OPENAI, Operation};
use crate::http::response::json::json as answer;
use crate::http::route::Route;
use crate::http::routes::models::known;
use crate::http::vertex::Dialect;

pub fn routes() -> Vec<Route> {
    let new =
        |id, summary| Operation::new(id, OPENAI, summary).fails_as(&OPENAI_ERROR).with([version()]);
    let name = json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "examples": ["direct"]});
    vec![
        Route::get(
            "/openai/models",
            list,
            new("listChatModels", "Lists the known models").answers(&CHAT_MODELS),
        ),
        Route::get(
            "/openai/models/{*rest}",
            get,
            new("getChatModel", "A model, by its name with or without `models/`")
                .at("/openai/models/{model}")
                .with([in_path("model", name)])
                .answers(&CHAT_MODEL),
        ),
    ]
}

async fn list(State(app): State<App>) -> Response {
    answer(&models(app.catalog.names()))
}

async fn get(State(app): State<App>, Path(rest): Path<String>) -> Result<Response, ApiError> {
    let name = rest.strip_prefix("models/").unwrap_or(&rest);
    known(&app, &Dialect::Gemini, name, "getModel")?;
    Ok(answer(&model(name)))
}
