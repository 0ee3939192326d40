//! `/x/sessions`: cells that are kept, with variables and files, for clients with their own agent.

mod files;

use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use serde_json::json;

use protocol::RunOutcome;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::{Body, aside};
use crate::http::extract::query::Parameters;
use crate::http::openapi::parameter::{in_path, in_query};
use crate::http::openapi::schema::NOTHING;
use crate::http::openapi::{BELLJAR, Operation};
use crate::http::response::json::json as answer;
use crate::http::response::pieces;
use crate::http::route::Route;
use crate::http::routes::execute;
use crate::http::sessions::openapi::{
    CREATE, INTERRUPTED, SESSION, SESSION_EVENT, SESSION_EXECUTED, SESSIONS,
};
use crate::http::sessions::request::{self, CreateSession};
use crate::http::sessions::{executed, session as to_json, stream};
use crate::http::wire::execute::{self as wire, Execute};
use crate::trace;
use domain::owner::Owner;
use sessions::{Interruption, SessionRun};

pub fn routes() -> Vec<Route> {
    let new = |id, summary| Operation::new(id, BELLJAR, summary);
    let mut routes = vec![
        Route::post(
            "/x/sessions",
            create,
            new("createSession", "Opens a session: a cell that is kept between requests")
                .takes(&CREATE)
                .body_is_optional()
                .answers(&SESSION),
        ),
        Route::get(
            "/x/sessions",
            list,
            new("listSessions", "Lists the sessions of this API key").answers(&SESSIONS),
        ),
        Route::get(
            "/x/sessions/{id}",
            get,
            new("getSession", "Returns a session").with([id()]).answers(&SESSION),
        ),
        Route::delete(
            "/x/sessions/{id}",
            delete,
            new("deleteSession", "Ends a session").with([id()]).answers(&NOTHING),
        ),
        Route::post(
            "/x/sessions/{id}/execute",
            run,
            new("executeInSession", "Runs code in a session, after what runs in it already")
                .with([id(), in_query("stream", json!({"type": "boolean"}))])
                .takes(&execute::BODY)
                .answers(&SESSION_EXECUTED)
                .streams(&SESSION_EVENT),
        ),
        Route::post(
            "/x/sessions/{id}/interrupt",
            interrupt,
            new("interruptSession", "Raises KeyboardInterrupt in the code that runs")
                .with([id()])
                .answers(&INTERRUPTED),
        ),
    ];
    routes.extend(files::routes());
    routes
}

fn id() -> serde_json::Value {
    in_path("id", json!({"type": "string"}))
}

async fn create(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    _: Parameters,
    request: Request,
) -> Result<Response, ApiError> {
    let Body(body) = Body::or_empty(request).await?;
    let limits = app.sessions.limits();
    let CreateSession { about, files } =
        aside(body, move |body| request::create(body, &limits)).await?;
    if app.stopping.is_cancelled() {
        return Err(ApiError::stopping());
    }
    let session = app.sessions.create(&owner, about, &files).await?;
    trace::answered_by("sandbox");
    Ok(answer(&to_json(&session)))
}

async fn list(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    _: Parameters,
) -> Response {
    let sessions: Vec<_> = app.sessions.list(&owner).iter().map(|one| to_json(one)).collect();
    answer(&json!({"sessions": sessions}))
}

async fn get(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: Parameters,
) -> Result<Response, ApiError> {
    Ok(answer(&to_json(&*app.sessions.find(&owner, &id)?)))
}

async fn delete(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: Parameters,
) -> Result<Response, ApiError> {
    app.sessions.delete(&owner, &id).await?;
    Ok(answer(&json!({})))
}

/// Runs code in a session. If the client disconnects, the code is interrupted.
async fn run(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    parameters: Parameters,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let budget = app.sandbox.budget().of(&owner);
    let Execute { code, files, timeout } = aside(body, wire::read).await?;
    let session = app.sessions.find(&owner, &id)?;
    if app.stopping.is_cancelled() {
        return Err(ApiError::stopping());
    }
    trace::answered_by("sandbox");
    let run = SessionRun { code, files, timeout };
    if parameters.stream {
        return Ok(stream::execute(&app, session, run, budget));
    }
    let running = session.execute(run, None);
    let output = app.stopped.run_until_cancelled(running).await;
    let output = output.ok_or_else(ApiError::stopping)??;
    trace::ran(!matches!(output.finished.outcome, RunOutcome::Ok));
    pieces::answer(&budget, || Ok(executed(&session, &output).to_string()))
}

async fn interrupt(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    _: Parameters,
) -> Result<Response, ApiError> {
    let session = Arc::clone(&app.sessions.find(&owner, &id)?);
    let result = match session.interrupt().await {
        Interruption::Ended => "interrupted",
        Interruption::NotRunning => "not_running",
        Interruption::StillRunning => "still_running",
    };
    Ok(answer(&json!({"result": result})))
}
