//! The loop: asks the model, runs its code, records what happened. The only code that knows both a
//! model and the sandbox.

mod files;
mod report;
mod run;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, BackendError, Prompt, Tools};
use crate::ids;
use crate::interaction::{AwaitingModel, Event, Limits, Status, Step};
use crate::sandbox::Sandbox;
use crate::store::{Head, Keep, Log, Store, StoreError};

pub use files::FileError;
pub use report::{Told, tell};

/// How long the start of an interaction waits for the model's first word, so that a refusal can
/// still be an answer of its own instead of an error inside a stream.
const FIRST_WORD_WITHIN: Duration = Duration::from_secs(5);
/// How many interactions one chain may have.
const MAX_CHAIN: usize = 1000;

/// Runs interactions.
#[derive(Debug)]
pub struct Engine {
    backend: Arc<dyn Backend>,
    sandbox: Arc<Sandbox>,
    store: Store,
    limits: Limits,
    running: TaskTracker,
    stop: CancellationToken,
}

/// What a client asks for, checked and in our own words.
#[derive(Debug, Clone)]
pub struct Request {
    /// Without `models/`.
    pub model: String,
    /// Not empty; at least one `UserInput` or `FunctionResult` is in it.
    pub input: Vec<Step>,
    pub previous_interaction_id: Option<String>,
    pub system_instruction: Option<String>,
    pub tools: Tools,
    /// As it came; `Null` where there was none.
    pub generation_config: Value,
    pub keep: Keep,
}

/// An interaction on its way. Dropping it cancels what has not happened yet.
#[derive(Debug)]
pub struct Running {
    log: Arc<Log>,
    _cancel: DropGuard,
}

impl Running {
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }
}

/// Why an interaction did not begin. Nothing was recorded, and nothing was executed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("interaction {0} is not known")]
    UnknownPrevious(String),
    #[error("interaction {0} is still in progress")]
    PreviousInProgress(String),
    #[error("the chain of interactions is longer than {MAX_CHAIN}")]
    ChainTooLong,
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the server is stopping")]
    Stopping,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    pub fn new(
        backend: Arc<dyn Backend>,
        sandbox: Arc<Sandbox>,
        store: Store,
        limits: Limits,
    ) -> Engine {
        Engine {
            backend,
            sandbox,
            store,
            limits,
            running: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Begins an interaction and returns once the model has said its first word, or has taken its
    /// time. From then on all that happens is in the log.
    pub async fn start(&self, request: Request) -> Result<Running, EngineError> {
        if self.stop.is_cancelled() {
            return Err(EngineError::Stopping);
        }
        let mut steps = self.history(request.previous_interaction_id.as_deref()).await?;
        steps.extend(request.input.iter().cloned());
        let files = files::of_input(&steps)?;
        let prompt = Prompt {
            model: request.model.clone(),
            system_instruction: request.system_instruction.clone(),
            tools: request.tools,
            generation_config: request.generation_config,
            steps: steps.clone().into(),
            files: files.iter().map(|file| file.about.clone()).collect(),
        };

        let mut words = self.backend.generate(prompt.clone());
        let first = match tokio::time::timeout(FIRST_WORD_WITHIN, words.recv()).await {
            Ok(Some(Err(refusal))) => return Err(refusal.into()),
            Ok(word) => word,
            Err(_) => None,
        };

        let head = Head {
            id: ids::interaction(),
            model: request.model,
            previous_interaction_id: request.previous_interaction_id,
            input: request.input,
        };
        let log = self.store.begin(head, request.keep).await?;
        let cancel = self.stop.child_token();
        let run = run::Run {
            backend: Arc::clone(&self.backend),
            sandbox: Arc::clone(&self.sandbox),
            log: Arc::clone(&log),
            prompt,
            files,
            cell: None,
            usage: usage::Counter::default(),
            open: None,
            next_index: 0,
        };
        let turn = AwaitingModel::begin(steps, self.limits);
        self.running.spawn(finish(run, turn, words, first, cancel.clone()));
        Ok(Running { log, _cancel: cancel.drop_guard() })
    }

    /// Waits for what runs, at most this long; then cancels it, and waits for that.
    pub async fn stop(&self, grace: Duration) {
        self.running.close();
        if tokio::time::timeout(grace, self.running.wait()).await.is_err() {
            self.stop.cancel();
            self.running.wait().await;
        }
    }

    /// The steps of a chain, oldest first.
    async fn history(&self, last: Option<&str>) -> Result<Vec<Step>, EngineError> {
        let mut links = Vec::new();
        let mut id = last.map(str::to_owned);
        while let Some(wanted) = id {
            if links.len() == MAX_CHAIN {
                return Err(EngineError::ChainTooLong);
            }
            let Some(log) = self.store.find(&wanted).await? else {
                return Err(EngineError::UnknownPrevious(wanted));
            };
            if log.fold().status() == Status::InProgress {
                return Err(EngineError::PreviousInProgress(wanted));
            }
            id = log.head().previous_interaction_id.clone();
            links.push(log);
        }
        let mut steps = Vec::new();
        for log in links.into_iter().rev() {
            steps.extend(log.head().input.iter().cloned());
            steps.extend(log.fold().into_steps());
        }
        Ok(steps)
    }
}

/// Carries an interaction to its end, which is always written down.
async fn finish(
    mut run: run::Run,
    turn: AwaitingModel,
    words: crate::backend::ModelStream,
    first: Option<Result<crate::backend::ModelEvent, BackendError>>,
    cancel: CancellationToken,
) {
    let ended = tokio::select! {
        ended = run.carry_through(turn, words, first) => ended,
        () = cancel.cancelled() => Ok(Event::Finished {
            status: Status::Cancelled,
            usage: run.usage.total(),
        }),
    };
    let last = ended.unwrap_or_else(|error| {
        tracing::warn!(interaction.id = %run.log.head().id, error = %error, "an interaction failed");
        Event::Failed(error.failure())
    });
    if let Err(error) = run.record(last).await {
        tracing::error!(
            interaction.id = %run.log.head().id,
            error = %error,
            "the end of an interaction could not be written",
        );
    }
    // Dropping `run` drops its cell, and with it every process that the code started.
}
