//! `POST`, `GET` and `DELETE` of interactions: decode, call the engine or the store, encode.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::engine::Running;
use crate::http::App;
use crate::http::error::schema::INTERACTION_ERROR;
use crate::http::error::{ApiError, Code};
use crate::http::extract::body::{Body, aside};
use crate::http::extract::credentials::Credentials;
use crate::http::extract::namespace::InNamespace;
use crate::http::extract::query::Parameters;
use crate::http::extract::revision::Revision;
use crate::http::middleware::deadline::Deadline;
use crate::http::middleware::quirk::{Api, Wanted};
use crate::http::openapi::parameter::{in_path, in_query, namespace, version};
use crate::http::openapi::schema::{NOTHING, flag, text};
use crate::http::openapi::{INTERACTIONS, Operation, RequestBody};
use crate::http::response::json::Json;
use crate::http::response::{pieces, sse};
use crate::http::route::Route;
use crate::http::routes::vertex::VertexPlace;
use crate::http::vertex::Dialect;
use crate::http::wire::COMPATIBILITY_PAGE;
use crate::http::wire::interaction::{Interaction, Show};
use crate::http::wire::openapi::{CREATE, INTERACTION, INTERACTION_EVENT, VERTEX_CREATE};
use crate::http::wire::request::{self, Create};
use domain::ids;
use domain::interaction::{FailureDelivery, Status};
use store::{Log, Owner};

pub fn routes() -> Vec<Route> {
    let new = |id, summary| {
        Operation::new(id, INTERACTIONS, summary).fails_as(&INTERACTION_ERROR).with([version()])
    };
    let [created, got, deleted, cancelled, cancelled_by_colon] = operations(&CREATE, new);
    vec![
        Route::post("/interactions", create, created),
        Route::get("/interactions/{id}", get, got),
        Route::delete("/interactions/{id}", delete, deleted),
        Route::post("/interactions/{id}/cancel", cancel, cancelled),
        Route::post("/interactions/{id}", call, cancelled_by_colon),
    ]
}

/// The operations of a place of Vertex AI, each with its method.
pub fn vertex_operations(place: &VertexPlace) -> Vec<(&'static str, Operation)> {
    if !place.has_interactions() {
        return Vec::new();
    }
    let new = |id: &'static str, summary| {
        place.operation(id, INTERACTIONS, summary).fails_as(&INTERACTION_ERROR)
    };
    let methods = ["post", "get", "delete", "post", "post"];
    methods.into_iter().zip(operations(&VERTEX_CREATE, new)).collect()
}

fn operations(
    body: &'static RequestBody,
    new: impl Fn(&'static str, &'static str) -> Operation,
) -> [Operation; 5] {
    let id = || in_path("id", json!({"type": "string", "pattern": "^v1_[A-Za-z0-9_-]{1,125}$"}));
    [
        new("createInteraction", "Asks the model, runs its code, and returns every step")
            .at("/interactions")
            .about("With `stream` the response is a stream of events that ends with `[DONE]`.")
            .with([namespace()])
            .takes(body)
            .answers(&INTERACTION)
            .streams(&INTERACTION_EVENT),
        new("getInteraction", "Returns a stored interaction, including its input")
            .at("/interactions/{id}")
            .with([
                id(),
                in_query("stream", flag("Whether the response is a stream.")),
                in_query("last_event_id", text("The event after which the stream begins.")),
                in_query("include_input", flag("Ignored: the input is always included.")),
            ])
            .answers(&INTERACTION)
            .streams(&INTERACTION_EVENT),
        new("deleteInteraction", "Deletes an interaction")
            .at("/interactions/{id}")
            .with([id()])
            .answers(&NOTHING),
        new("cancelInteraction", "Cancels a running interaction")
            .at("/interactions/{id}/cancel")
            .about("An interaction that has ended is returned unchanged.")
            .with([id()])
            .answers(&INTERACTION),
        new("cancelInteractionByColon", "Cancels a running interaction")
            .at("/interactions/{id}:cancel")
            .with([id()])
            .answers(&INTERACTION),
    ]
}

/// Creates an interaction, and responds with its result or a stream of its events. If the client
/// disconnects, this future and the interaction are dropped.
pub async fn create(
    State(app): State<App>,
    InNamespace(namespace): InNamespace,
    (Extension(owner), Credentials(keys)): (Extension<Owner>, Credentials),
    dialect: Dialect,
    (_, _): (Parameters, Revision),
    deadline: Deadline,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let read = aside(body, move |body| request::create(body, &dialect)).await;
    let Create { mut request, stream } = read?;
    request.owner = owner;
    request.keys = keys;
    let background = request.background;
    let running = app.engine.start_in(&namespace, request).await?;
    let wanted = Wanted(running.wanted());
    let mut response = answer(&app, running, stream, background, deadline).await?;
    response.extensions_mut().insert(Api::Interactions);
    response.extensions_mut().insert(wanted);
    Ok(response)
}

async fn answer(
    app: &App,
    running: Running,
    stream: bool,
    background: bool,
    deadline: Deadline,
) -> Result<Response, ApiError> {
    if stream {
        let log = Arc::clone(running.log());
        return Ok(sse::stream(&log, None, (!background).then_some(running), deadline));
    }
    let log = running.log();
    if background {
        let begun = Interaction::without_steps(log, Status::InProgress, None);
        return Ok(Json(begun).into_response());
    }
    log.closed().await;
    let projection = log.projection();
    if projection.status() == Status::InProgress {
        return Err(ApiError::broken_off(log));
    }
    if let Some(failure) =
        projection.failure().filter(|failure| failure.delivery != FailureDelivery::Reported)
    {
        return Err(failure.clone().into());
    }
    whole(app, Arc::clone(log), Show::ModelSteps).await
}

pub async fn get(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    parameters: Parameters,
    _: Revision,
    deadline: Deadline,
) -> Result<Response, ApiError> {
    let log = find(&app, &owner, &id).await?;
    match (parameters.stream, parameters.last_event_id) {
        (true, None) => Ok(sse::stream(&log, None, None, deadline)),
        (true, Some(last)) => {
            let place = sse::place(&log, &last)?;
            Ok(sse::stream(&log, Some(place), None, deadline))
        }
        (false, None) => whole(&app, log, Show::Everything).await,
        (false, Some(_)) => Err(ApiError::invalid("'last_event_id' needs 'stream'.")),
    }
}

/// `POST …/{id}:cancel`, the alternative form.
pub async fn call(
    state: State<App>,
    owner: Extension<Owner>,
    Path(rest): Path<String>,
    parameters: Parameters,
    revision: Revision,
) -> Result<Response, ApiError> {
    match rest.rsplit_once(':') {
        Some((id, "cancel")) => {
            cancel(state, owner, Path(id.to_owned()), parameters, revision).await
        }
        _ => {
            let why = format!("interactions/{rest} does not have this method.");
            Err(ApiError::method("GET, DELETE", why))
        }
    }
}

/// Cancels a running interaction. One that has ended is returned unchanged.
pub async fn cancel(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: Parameters,
    _: Revision,
) -> Result<Response, ApiError> {
    well_formed(&id)?;
    let log = app.engine.cancel(&owner, &id).await?.ok_or_else(|| ApiError::no_interaction(&id))?;
    whole(&app, log, Show::Everything).await
}

pub async fn delete(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: Parameters,
    _: Revision,
) -> Result<Response, ApiError> {
    well_formed(&id)?;
    if app.engine.delete(&owner, &id).await? {
        Ok(Json(json!({})).into_response())
    } else {
        Err(ApiError::no_interaction(&id))
    }
}

async fn find(app: &App, owner: &Owner, id: &str) -> Result<Arc<Log>, ApiError> {
    well_formed(id)?;
    let log = app.store.read(owner, id, &app.sandbox.budget().of(owner)).await?;
    log.ok_or_else(|| ApiError::no_interaction(id))
}

/// The real service distinguishes malformed ids from unknown ones.
fn well_formed(id: &str) -> Result<(), ApiError> {
    if id == "live" {
        let why = format!("This server does not have live interactions: see {COMPATIBILITY_PAGE}.");
        Err(ApiError::new(Code::NotFound, why))
    } else if id.ends_with(":cancel") {
        Err(ApiError::method("POST", format!("interactions/{id} does not have this method.")))
    } else if ids::is_interaction(id) {
        Ok(())
    } else {
        Err(ApiError::invalid(format!("Invalid interaction name: interactions/{id}")))
    }
}

/// A complete interaction with its images and files.
async fn whole(app: &App, log: Arc<Log>, show: Show) -> Result<Response, ApiError> {
    let budget = app.sandbox.budget().of(&log.head().owner);
    let is_large = log.is_large();
    let make = move || {
        pieces::answer(&budget, || {
            serde_json::to_string(&Interaction::of(&log, show)).map_err(ApiError::internal)
        })
    };
    if is_large { spawn_blocking(make).await.map_err(ApiError::internal)? } else { make() }
}
