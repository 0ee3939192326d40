//! The tasks that run batches, and resume them after a restart.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::line::{self, LineResult};
use crate::http::App;
use resources::places::Places;
use store::{self, BatchState, StoreError, StoredBatch};

/// Maximum number of requests of batches that run at the same time, of all owners and of one.
const LINES_AT_A_TIME: usize = 16;
const LINES_OF_OWNER: usize = 4;
/// Copies of a request in memory while it runs.
const COPIES: usize = 8;
/// Maximum number of servers that run a batch and end without a shutdown: a batch that ends the server
/// would end it after each start.
const MAX_STARTS: u64 = 5;

#[derive(Debug)]
pub struct BatchRunner {
    /// The running batches by id.
    running: Mutex<HashMap<String, CancellationToken>>,
    tasks: TaskTracker,
    places: Places,
    stop: CancellationToken,
}

impl Default for BatchRunner {
    fn default() -> BatchRunner {
        BatchRunner {
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            places: Places::new(LINES_AT_A_TIME, LINES_OF_OWNER),
            stop: CancellationToken::new(),
        }
    }
}

impl BatchRunner {
    /// Runs the batches that the last server did not finish.
    pub async fn resume(&self, app: &App) -> Result<(), StoreError> {
        for batch in app.store.batches().unfinished().await? {
            self.start(app, batch, Arc::default());
        }
        Ok(())
    }

    /// Runs a batch in the background. `keys` are those that its client sent.
    pub fn start(&self, app: &App, batch: StoredBatch, keys: Arc<[SecretString]>) {
        let cancel = self.stop.child_token();
        self.running.lock().insert(batch.id.clone(), cancel.clone());
        let app = app.clone();
        self.tasks.spawn(async move {
            let ended = cancel.run_until_cancelled(run(&app, &batch, keys)).await;
            match ended {
                Some(Ok(())) => tracing::info!(batch.id = %batch.id, "batch ended"),
                // The next server resumes it.
                Some(Err(error)) => {
                    tracing::error!(batch.id = %batch.id, error = error.kind(), "batch interrupted");
                }
                None if app.batches.stop.is_cancelled() => {
                    if let Err(error) = app.store.batches().suspend(&batch.id).await {
                        tracing::warn!(%error, "start of batch stays counted");
                    }
                }
                None => {} // cancelled or deleted by a client
            }
            app.batches.running.lock().remove(&batch.id);
        });
    }

    /// Stops a batch of the caller's owner, if it is running.
    pub fn cancel(&self, id: &str) {
        if let Some(cancel) = self.running.lock().get(id) {
            cancel.cancel();
        }
    }

    /// Stops all batches, which the next server resumes.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Runs the requests that have no result yet.
async fn run(app: &App, batch: &StoredBatch, keys: Arc<[SecretString]>) -> Result<(), StoreError> {
    let mut ready = app.was_ready.clone();
    if ready.wait_for(|ready| *ready).await.is_err() {
        // The server is stopping, which drops this future.
        std::future::pending::<()>().await;
    }
    let batches = app.store.batches();
    let starts = batches.begin(&batch.id, store::now()).await?;
    if starts == 0 {
        return Ok(()); // it has ended already
    }
    if starts > MAX_STARTS {
        tracing::error!(batch.id = %batch.id, "batch resumed too often");
        return batches.end(&batch.id, BatchState::Failed, store::now()).await;
    }
    let places = app.batches.places.of(&batch.owner);
    let lines = batches.open_lines(&batch.id).await?.into_iter();
    let results = stream::iter(lines.map(|(line, bytes)| {
        let (places, keys) = (places.clone(), Arc::clone(&keys));
        async move {
            let _place = places.take().await;
            let budget = app.sandbox.budget().of(&batch.owner);
            let memory = budget.wait_for(bytes.saturating_mul(COPIES)).await;
            let batches = app.store.batches();
            let Some(request) = batches.request(&batch.id, line).await? else {
                return Ok::<_, StoreError>(());
            };
            let LineResult { json, is_error, memory: _memory } =
                line::result(app, batch, keys, request, memory).await;
            let finish =
                |response, failed| batches.finish(&batch.id, line, response, failed, store::now());
            if !finish(json.into(), is_error).await? {
                finish(line::no_space().into(), true).await?;
            }
            Ok(())
        }
    }));
    results.buffer_unordered(LINES_OF_OWNER).try_collect::<()>().await?;
    batches.end(&batch.id, BatchState::Succeeded, store::now()).await
}
