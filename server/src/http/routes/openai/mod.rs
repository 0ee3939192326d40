//! The OpenAI-compatible API, below `/openai` of each version.

mod chat_completions;
mod models;

use crate::http::route::Route;

pub fn routes() -> Vec<Route> {
    [chat_completions::routes(), models::routes()].into_iter().flatten().collect()
}
