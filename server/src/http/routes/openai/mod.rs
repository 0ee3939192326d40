//! The OpenAI-compatible API, below `/openai` of each version.

mod chat_completions;
mod embeddings;
mod models;

use crate::http::openapi::{OPENAI, Operation};
use crate::http::route::Route;
use crate::http::routes::vertex::VertexPlace;

pub fn routes() -> Vec<Route> {
    [chat_completions::routes(), embeddings::routes(), models::routes()]
        .into_iter()
        .flatten()
        .collect()
}

/// The operations of a place of Vertex AI, each with its method.
pub fn vertex_operations(place: &VertexPlace) -> Vec<(&'static str, Operation)> {
    if !place.has_openai() {
        return Vec::new();
    }
    let new = |id: &'static str, summary| place.operation(id, OPENAI, summary);
    let chat = chat_completions::operation(new);
    vec![("post", chat.at("/endpoints/openapi/chat/completions"))]
}
