//! `POST /x/execute`: runs code without a model, for clients with their own agent.

use axum::extract::{Extension, State};
use axum::response::Response;
use serde_json::{Value, json};
use strum::VariantNames as _;

use protocol::RunOutcome;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::{Body, aside};
use crate::http::extract::query::Parameters;
#[cfg(test)]
use crate::http::openapi::BodyReader;
use crate::http::openapi::schema::{
    ComponentSchemas, Schema, answer, base64, count, list, request, text, word,
};
use crate::http::openapi::{BELLJAR, Operation, RequestBody};
use crate::http::response::pieces;
use crate::http::route::Route;
use crate::http::routes::isolation::TIER;
use crate::http::wire::execute::{self, Execute};
use crate::trace;
use domain::interaction;
use domain::owner::Owner;
use sandbox_client::{Again, Expected};

pub static BODY: RequestBody = RequestBody {
    schema: &EXECUTE_REQUEST,
    #[cfg(test)]
    reader: BodyReader::new(
        |body| execute::read(body).map(drop),
        || vec![json!({"code": "1", "timeout_s": 1.5, "files": [{"name": "a", "data": "AAAA"}]})],
    ),
};

static EXECUTE_REQUEST: Schema = Schema::new("ExecuteRequest", |_| {
    let fields = json!({
        "code": {"type": "string", "examples": ["print(6 * 7)"]},
        "files": input_files(),
        "timeout_s": {"type": "number", "exclusiveMinimum": 0},
    });
    request(&["code"], fields)
});

/// Files that code is given.
pub fn input_files() -> Value {
    let file = json!({
        "name": text("A plain name of at most 255 bytes that does not start with a dot."),
        "data": base64("With or without padding, in either alphabet."),
    });
    list(request(&["name", "data"], file))
}

static EXECUTED: Schema =
    Schema::new("Executed", |schemas| answer(&["limit"], output_fields(schemas)));

/// The output of a run.
pub fn output_fields(schemas: &ComponentSchemas) -> Value {
    let number = || json!({"type": "number", "minimum": 0});
    let blobs = |name: &str| {
        list(answer(&[], json!({name: {"type": "string"}, "data": base64("The data.")})))
    };
    json!({
        "outcome": word(interaction::Outcome::VARIANTS),
        "stdout": {"type": "string"},
        "stdout_bytes_left_out": count("Bytes omitted from the middle."),
        "stderr": text("Includes the traceback, and messages of the sandbox."),
        "stderr_bytes_left_out": count("Bytes omitted from the middle."),
        "images": blobs("mime_type"),
        "images_left_out": count("Number omitted because of the limits."),
        "files": blobs("name"),
        "files_left_out": count("Number omitted because of the limits."),
        "usage": answer(&[], json!({"wall_ms": number(), "cpu_ms": number(),
                                    "peak_memory_bytes": count("In addition to the libraries.")})),
        "isolation": answer(&[], json!({"tier": schemas.named(&TIER)})),
        "limit": answer(&[], json!({"name": {"type": "string"},
                                    "value": count("In the unit of the limit.")})),
    })
}

pub fn routes() -> Vec<Route> {
    let operation = Operation::new("execute", BELLJAR, "Runs code in a new cell, without a model");
    vec![Route::post("/x/execute", execute, operation.takes(&BODY).answers(&EXECUTED))]
}

/// Runs code in a new cell. If the client disconnects, or the grace period of a shutdown ends, this
/// future and the cell are dropped.
pub async fn execute(
    State(app): State<App>,
    Extension(owner): Extension<Owner>,
    _: Parameters,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let budget = app.sandbox.budget().of(&owner);
    let Execute { code, files, timeout } = aside(body, execute::read).await?;
    if app.stopping.is_cancelled() {
        return Err(ApiError::stopping());
    }
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content)).collect();
    let running = async {
        let mut again = Again::new();
        loop {
            let ran = match app.sandbox.open(Expected::Only(&code), files.clone()).await {
                Ok(cell) => {
                    let mut cell = cell.charged_to(budget.clone());
                    let ran = cell.run_for_files(&code, timeout).await;
                    ran.map(|output| (cell, output))
                }
                Err(error) => Err(error),
            };
            match ran {
                Err(error) if again.after(&error).await => {}
                ran => break ran,
            }
        }
    };
    let (cell, output) =
        app.stopped.run_until_cancelled(running).await.ok_or_else(ApiError::stopping)??;
    trace::answered_by("sandbox");
    trace::ran(!matches!(output.finished.outcome, RunOutcome::Ok));
    let answer = pieces::answer(&budget, || Ok(execute::answer(&output).to_string()));
    // Drops the cell after the response, because ending it uses the same processors.
    tokio::spawn(async move { drop(cell) });
    answer
}
