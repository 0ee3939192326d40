//! `POST`, `GET` and `DELETE` of interactions: decode, call the engine or the store, encode.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::body::Body;
use super::credentials::Credentials;
use super::error::ApiError;
use super::namespace::InNamespace;
use super::query::Parameters;
use super::quirk::Wanted;
use super::wire::interaction::{Interaction, Show};
use super::wire::request::{self, Create};
use super::{App, JSON, sse};
use crate::engine::Running;
use crate::ids;
use crate::interaction::{Manner, Status};
use crate::store::{Log, Owner};

/// Begins an interaction, and answers with its end or with all that happens until then. A client
/// that goes away drops this future, and with it what runs.
pub async fn create(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    Extension(owner): Extension<Owner>,
    Credentials(keys): Credentials,
    _: Parameters,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let Create { mut request, stream } = request::create(body)?;
    request.owner = owner;
    request.keys = keys;
    let background = request.background;
    let running = app.engine.start_in(&namespace, request).await?;
    let wanted = Wanted(running.wanted());
    let mut response = answer(running, stream, background).await?;
    response.extensions_mut().insert(wanted);
    Ok(response)
}

async fn answer(running: Running, stream: bool, background: bool) -> Result<Response, ApiError> {
    if stream {
        let log = Arc::clone(running.log());
        return Ok(sse::stream(&log, None, (!background).then_some(running)));
    }
    let log = running.log();
    if background {
        return json(&Interaction::without_steps(log, Status::InProgress, None));
    }
    log.closed().await;
    let fold = log.fold();
    if fold.status() == Status::InProgress {
        return Err(ApiError::broken_off());
    }
    if let Some(failure) = fold.failure().filter(|failure| failure.manner != Manner::Told) {
        return Err(failure.clone().into());
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

/// `POST …/{id}:cancel`, the other spelling.
pub async fn call(
    state: State<App>,
    Path(rest): Path<String>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    match rest.rsplit_once(':') {
        Some((id, "cancel")) => cancel(state, Path(id.to_owned()), parameters).await,
        _ => {
            let why = format!("interactions/{rest} does not have this method.");
            Err(ApiError::method("GET, DELETE", why))
        }
    }
}

/// Ends an interaction, wherever it runs. One that has ended is answered as it is.
pub async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    _: Parameters,
) -> Result<Response, ApiError> {
    well_formed(&id)?;
    let log = app.engine.cancel(&id).await?.ok_or_else(|| ApiError::no_interaction(&id))?;
    json(&Interaction::of(&log, Show::Everything))
}

pub async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    _: Parameters,
) -> Result<Response, ApiError> {
    well_formed(&id)?;
    if app.engine.delete(&id).await? {
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
    if id.ends_with(":cancel") {
        Err(ApiError::method("POST", format!("interactions/{id} does not have this method.")))
    } else if ids::is_interaction(id) {
        Ok(())
    } else {
        Err(ApiError::invalid(format!("Invalid interaction name: interactions/{id}")))
    }
}

fn json(body: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(body).map_err(ApiError::internal)?;
    Ok(([(CONTENT_TYPE, JSON)], body).into_response())
}
