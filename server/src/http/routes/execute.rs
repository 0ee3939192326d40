//! `POST /x/execute`: runs code without a model, for clients with their own agent.

use axum::extract::State;
use axum::response::Response;

use protocol::Outcome;

use crate::http::App;
use crate::http::error::ApiError;
use crate::http::extract::body::{Body, aside};
use crate::http::extract::query::Parameters;
use crate::http::response::pieces;
use crate::http::wire::execute::{self, Execute};
use crate::sandbox::{Again, Expected};
use crate::trace;

/// Runs code in a new cell. If the client disconnects, or the grace period of a shutdown ends, this
/// future and the cell are dropped.
pub async fn execute(
    State(app): State<App>,
    _: Parameters,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let Execute { code, files, timeout } = aside(body, execute::read).await?;
    if app.stopping.is_cancelled() {
        return Err(ApiError::stopping());
    }
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content)).collect();
    let running = async {
        let mut again = Again::new();
        loop {
            let ran = match app.sandbox.open(Expected::Only(&code), files.clone()).await {
                Ok(mut cell) => {
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
    trace::ran(!matches!(output.finished.outcome, Outcome::Ok));
    let answer = pieces::answer(app.sandbox.budget(), || Ok(execute::answer(&output).to_string()));
    // Drops the cell after the response, because ending it uses the same processors.
    tokio::spawn(async move { drop(cell) });
    answer
}
