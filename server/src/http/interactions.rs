//! `POST`, `GET` and `DELETE` of interactions: decode, call the engine or the store, encode.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::Body;
use super::error::ApiError;
use super::query::Parameters;
use super::wire::interaction::{Interaction, Show};
use super::wire::request::{self, Create};
use super::{App, JSON, sse};
use crate::ids;
use crate::interaction::Status;
use crate::store::Log;

/// Begins an interaction, and answers with its end or with all that happens until then. A client
/// that goes away drops this future, and with it what runs.
pub async fn create(
    State(app): State<App>,
    _: Parameters,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let Create { request, stream } = request::create(body)?;
    let running = app.engine.start(request).await?;
    if stream {
        let log = Arc::clone(running.log());
        return Ok(sse::stream(&log, None, Some(running)));
    }
    let log = running.log();
    log.closed().await;
    if log.fold().status() == Status::InProgress {
        return Err(ApiError::internal(anyhow::anyhow!("the log closed before its last event")));
    }
    json(&Interaction::of(log, Show::ModelSteps))
}

pub async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let log = find(&app, &id).await?;
    match (parameters.stream, parameters.last_event_id) {
        (true, None) => Ok(sse::stream(&log, None, None)),
        (true, Some(last)) => Ok(sse::stream(&log, Some(sse::place(&log, &last)?), None)),
        (false, None) => json(&Interaction::of(&log, Show::Everything)),
        (false, Some(_)) => Err(ApiError::invalid("'last_event_id' needs 'stream'.")),
    }
}

pub async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    _: Parameters,
) -> Result<Response, ApiError> {
    well_formed(&id)?;
    if app.store.delete(&id).await? {
        json(&serde_json::json!({}))
    } else {
        Err(ApiError::no_interaction(&id))
    }
}

async fn find(app: &App, id: &str) -> Result<Arc<Log>, ApiError> {
    well_formed(id)?;
    app.store.find(id).await?.ok_or_else(|| ApiError::no_interaction(id))
}

/// The real service tells a name that cannot be one from one that it does not know.
fn well_formed(id: &str) -> Result<(), ApiError> {
    if ids::is_interaction(id) {
        Ok(())
    } else {
        Err(ApiError::invalid(format!("Invalid interaction name: interactions/{id}")))
    }
}

fn json(body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(ApiError::internal)?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}
