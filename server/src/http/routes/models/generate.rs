//! `generateContent` and `streamGenerateContent`.

use axum::response::Response;
use serde_json::Value;

use super::ModelCall;
use crate::engine::Running;
use crate::http::App;
use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::aside;
use crate::http::generate_content::answer::{
    About, AnswerEnd, PartEncoder, VertexAnswer, answer, join,
};
use crate::http::generate_content::grounding::Grounding;
use crate::http::generate_content::request::{self, Generate};
use crate::http::generate_content::stream::{Framing, stream};
use crate::http::generate_content::usage::usage;
use crate::http::middleware::quirk::{Api, ListStream, Wanted};
use crate::http::response::pieces;
use crate::http::vertex::Dialect;

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    Stream,
}

pub async fn generate(
    call: ModelCall,
    delivery: Delivery,
    body: Value,
) -> Result<Response, ApiError> {
    let ModelCall { app, namespace, owner, keys, dialect, model, query, deadline } = call;
    let own = app.engine.has_own_signatures(&model);
    let (name, service) = (model.clone(), dialect.clone());
    let read = aside(body, move |body| request::generate(&name, body, own, &service)).await;
    let Generate { mut request, thoughts } = read.map_err(invalid_payload)?;
    request.owner = owner;
    request.keys = keys;
    let tier = request.service_tier;
    let offers_search = request.tools.offered.iter().any(|tool| tool == "google_search");
    let running = app.engine.start_in(&namespace, request).await?;
    let created = running.log().created();
    let vertex = match &dialect {
        Dialect::Gemini => None,
        Dialect::Vertex(scope) => {
            Some(VertexAnswer { created, offers_search, traffic: scope.traffic })
        }
    };
    let (id, enum_numbers) = (running.response_id(), query.enum_numbers);
    let about = About { model, id, tier, enum_numbers, vertex };
    let wanted = Wanted(running.wanted());
    let mut response = match delivery {
        Delivery::Whole => whole(&app, &running, &about, thoughts).await?,
        Delivery::Stream if query.sse => {
            stream(running, about, thoughts, Framing::ServerSentEvents, deadline)
        }
        Delivery::Stream => {
            let mut response = stream(running, about, thoughts, Framing::List, deadline);
            response.extensions_mut().insert(ListStream);
            response
        }
    };
    response.extensions_mut().insert(Api::Generate);
    response.extensions_mut().insert(wanted);
    Ok(response)
}

async fn whole(
    app: &App,
    running: &Running,
    about: &About,
    thoughts: bool,
) -> Result<Response, ApiError> {
    let log = running.log();
    log.closed().await;
    let entries = log.entries_from(0);
    let end = entries.last().and_then(|entry| AnswerEnd::of(&entry.event));
    let end = end.unwrap_or_else(|| Err(ApiError::broken_off(log)))?;
    pieces::answer(&app.sandbox.budget().of(&log.head().owner), || {
        let mut parts = PartEncoder::new(thoughts);
        let mut grounding = Grounding::default();
        let mut found: Vec<Value> = Vec::new();
        for entry in &entries {
            let part = parts.of(&entry.event);
            grounding.add(&entry.event, part.as_ref());
            found.extend(part);
        }
        found.extend(parts.last());
        let used = end.usage.map(|used| usage(about, &used));
        let found = join(found.into_iter());
        Ok(answer(about, found, used, Some(end), grounding.metadata()).to_string())
    })
}
