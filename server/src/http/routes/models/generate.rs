//! `generateContent` and `streamGenerateContent`.

use axum::response::Response;
use serde_json::Value;

use super::ModelCall;
use crate::engine::Running;
use crate::http::App;
use crate::http::cached_contents::resolve::{Resolved, resolve};
use crate::http::error::{ApiError, invalid_payload};
use crate::http::extract::body::{aside, holding};
use crate::http::generate_content::answer::{About, VertexAnswer};
use crate::http::generate_content::prefix::named;
use crate::http::generate_content::request::{self, Generate};
use crate::http::generate_content::stream::{Framing, stream};
use crate::http::generate_content::whole::{ended, whole};
use crate::http::middleware::quirk::{Api, ListStream, Wanted};
use crate::http::response::pieces;
use crate::http::vertex::Dialect;

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerDelivery {
    Whole,
    Stream,
}

pub async fn generate(
    call: ModelCall,
    delivery: AnswerDelivery,
    body: Value,
) -> Result<Response, ApiError> {
    let ModelCall { app, namespace, owner, keys, dialect, model, query, deadline } = call;
    let own = app.engine.has_own_signatures(&model);
    let Resolved { prefix, memory } = resolve(&app, &owner, &model, named(&body), &dialect).await?;
    let (name, service) = (model.clone(), dialect.clone());
    let read = move |body| request::generate(&name, body, own, prefix, &service);
    let Generate { mut request, thoughts, cached, invocations } =
        aside(body, read).await.map_err(invalid_payload)?;
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
    let about = About { model, id, tier, enum_numbers, cached, invocations, vertex };
    let wanted = Wanted(running.wanted());
    let mut response = match delivery {
        AnswerDelivery::Whole => whole_answer(&app, &running, &about, thoughts).await?,
        AnswerDelivery::Stream if query.sse => {
            stream(running, about, thoughts, Framing::ServerSentEvents, deadline)
        }
        AnswerDelivery::Stream => {
            let mut response = stream(running, about, thoughts, Framing::List, deadline);
            response.extensions_mut().insert(ListStream);
            response
        }
    };
    response.extensions_mut().insert(Api::Generate);
    response.extensions_mut().insert(wanted);
    Ok(if memory.is_empty() { response } else { holding(response, memory) })
}

async fn whole_answer(
    app: &App,
    running: &Running,
    about: &About,
    thoughts: bool,
) -> Result<Response, ApiError> {
    let log = running.log();
    let (entries, end) = ended(log).await?;
    pieces::answer(&app.sandbox.budget().of(&log.head().owner), || {
        Ok(whole(&entries, end, about, thoughts).to_string())
    })
}
