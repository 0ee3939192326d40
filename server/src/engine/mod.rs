//! The loop: asks the model, runs its code, records what happened. The only code that knows both a
//! model and the sandbox.

mod calls;
mod carry;
mod code;
mod echo;
mod endings;
mod fetch;
mod files;
mod form;
mod lookup;
mod names;
mod orders;
mod record;
mod report;
mod resume;
mod run;
mod steps;
mod tasks;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, BackendError, Prompt, Tools};
use crate::chaos::fault::Fault;
use crate::counts::Counts;
use crate::ids::Ids;
use crate::interaction::{
    AwaitingModel, Limits, ServiceTier, Status, Step, Summaries, Terms, Tokens, Turn,
};
use crate::journal::{Asked, Journal, Note};
use crate::namespace::Namespace;
use crate::recording::RecordingSession;
use crate::sandbox::Sandbox;
use crate::search::Search;
use crate::store::{Head, Keep, Log, Owner, Store, StoreError};
use crate::trace;
use form::Form;
use names::Names;
use tasks::{Background, Tasks};

pub use fetch::{FetchError, FetchFrom, Fetcher, NoFolder};
pub use files::{FileError, Sources};
pub use form::NotASchema;
pub use report::{Told, tell};

/// How long the start of an interaction waits for the model's first word, so that a refusal can
/// still be an answer of its own instead of an error inside a stream.
const FIRST_WORD_WITHIN: Duration = Duration::from_secs(5);
/// The same where nobody wants to wait.
const FIRST_WORD_AT_ONCE: Duration = Duration::from_millis(100);
/// Interactions of another server that go on at the same time.
const RESUMED_AT_A_TIME: usize = 8;
/// Interactions of one owner in the background that have not ended, those of the last server included.
const MAX_BACKGROUND: usize = 1000;
/// How many interactions one chain may have.
const MAX_CHAIN: usize = 1000;

/// Runs interactions.
#[derive(Debug)]
pub struct Engine {
    backend: Arc<dyn Backend>,
    sandbox: Arc<Sandbox>,
    search: Option<Arc<dyn Search>>,
    store: Store,
    sources: Sources,
    limits: Limits,
    journal: Journal,
    counts: Counts,
    names: Names,
    running: TaskTracker,
    /// Those of them that can be found.
    tasks: Tasks,
    background: Background,
    resuming: Semaphore,
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
    /// Whether it goes on without its client, and after a restart. Such a one is kept.
    pub background: bool,
    pub service_tier: ServiceTier,
    /// Whose it will be, and whose files and earlier interactions it may use.
    pub owner: Owner,
    /// What the client came with, which must not be recorded.
    pub keys: Arc<[SecretString]>,
}

/// An interaction on its way. Dropping it cancels what has not happened yet, but for one in the
/// background.
#[derive(Debug)]
pub struct Running {
    log: Arc<Log>,
    note: Note,
    ids: Arc<Ids>,
    _cancel: Option<DropGuard>,
}

impl Running {
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// What names the answer where the interaction is not kept.
    pub fn response_id(&self) -> String {
        self.ids.response()
    }

    /// What its scenario wants to be wrong with the answer.
    pub fn wanted(&self) -> Vec<Fault> {
        self.note.wanted()
    }
}

/// Why an interaction did not begin. Nothing was recorded, and nothing was executed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("interaction {0} is not known")]
    UnknownPrevious(String),
    #[error("interaction {0} is still in progress")]
    PreviousInProgress(String),
    #[error("{MAX_BACKGROUND} interactions of one key run in the background already")]
    TooManyInBackground,
    #[error("the chain of interactions is longer than {MAX_CHAIN}")]
    ChainTooLong,
    #[error("the conversation has no call {0}, which a result of the input answers")]
    UnknownCall(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the schema of the answer cannot be used: {0}")]
    Schema(#[from] NotASchema),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the server is stopping")]
    Stopping,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// Whether thought signatures of this model are another server's, which checks them itself.
    pub fn has_own_signatures(&self, model: &str) -> bool {
        self.backend.has_own_signatures(model)
    }

    pub fn new(
        backend: Arc<dyn Backend>,
        sandbox: Arc<Sandbox>,
        search: Option<Arc<dyn Search>>,
        store: Store,
        sources: Sources,
        limits: Limits,
    ) -> Engine {
        Engine {
            backend,
            sandbox,
            search,
            store,
            sources,
            limits,
            journal: Journal::default(),
            counts: Counts::default(),
            names: Names::default(),
            running: TaskTracker::new(),
            tasks: Tasks::default(),
            background: Background::default(),
            resuming: Semaphore::new(RESUMED_AT_A_TIME),
            stop: CancellationToken::new(),
        }
    }

    /// The same with names that follow from a seed.
    #[must_use]
    pub fn seeded(self, seed: Option<u64>) -> Engine {
        Engine { names: Names(seed), ..self }
    }

    /// The same without a journal, where nobody may read it.
    #[must_use]
    pub fn without_journal(self) -> Engine {
        Engine { journal: Journal::off(), ..self }
    }

    /// What was asked.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What is counted between requests.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Begins an interaction in the namespace that is everybody's.
    pub async fn start(self: &Arc<Self>, request: Request) -> Result<Running, EngineError> {
        self.start_in(&Namespace::default(), request).await
    }

    /// Begins an interaction and returns once the model has said its first word, or has taken its
    /// time. From then on all that happens is in the log.
    pub async fn start_in(
        self: &Arc<Self>,
        namespace: &Namespace,
        request: Request,
    ) -> Result<Running, EngineError> {
        if self.stop.is_cancelled() {
            return Err(EngineError::Stopping);
        }
        let counted = match request.background {
            true => {
                let counted = self.background.begin(&request.owner, MAX_BACKGROUND);
                Some(counted.ok_or(EngineError::TooManyInBackground)?)
            }
            false => None,
        };
        let form = Form::of(&request.generation_config).await?;
        let (prompt, files) = self.prompt(namespace, &request).await?;
        let instruction = request.system_instruction.as_deref();
        let sent_ahead = &self.sources.sent_ahead;
        let read = usage::of_prompt(instruction, &prompt.steps, &files, sent_ahead).await?;
        let terms = Terms {
            tier: request.service_tier,
            prompt: Some(read),
            summaries: summaries(&request.generation_config),
        };

        let mut words = self.backend.generate(prompt.clone());
        let within = if request.background { FIRST_WORD_AT_ONCE } else { FIRST_WORD_WITHIN };
        let first = match tokio::time::timeout(within, words.recv()).await {
            Ok(Some(Err(refusal))) => {
                prompt.note.failed(&refusal.to_string());
                let sent_ahead = &self.sources.sent_ahead;
                record::keep(&prompt.recording, "refused", None, &files, sent_ahead).await;
                return Err(refusal.into());
            }
            Ok(word) => word,
            Err(_) => None,
        };

        let orders = request.background.then(|| orders::of(namespace, &request));
        let (ids, id) = self.names.of(&request, &prompt, &self.store).await?;
        let ids = Arc::new(ids);
        let head = Head {
            id,
            model: request.model,
            previous_interaction_id: request.previous_interaction_id,
            input: request.input,
            orders,
            owner: request.owner,
        };
        let cancel = self.stop.child_token();
        // From here on a client that goes away cancels what it cannot undo.
        let guard = (!request.background).then(|| cancel.clone().drop_guard());
        let log = self.store.begin(head, request.keep, terms);
        let note = prompt.note.clone();
        note.began(&log.head().id);
        let listed = self.tasks.list(&log.head().id, cancel.clone());
        let turn = Turn::Model(AwaitingModel::begin(prompt.steps.to_vec(), self.limits));
        let run = self.run(Arc::clone(&log), Arc::clone(&ids), prompt, files, form);
        let engine = Arc::clone(self);
        // Whoever asked may go away, which is no reason not to write down the end.
        self.running.spawn(async move {
            engine.carry(run, turn, Some((words, first)), cancel).await;
            drop((listed, counted));
        });
        log.exists().await?;
        Ok(Running { log, note, ids, _cancel: guard })
    }

    /// Ends an interaction of this owner, whichever client asked for it, and gives its log once that is
    /// written down. One that has ended stays as it is.
    pub async fn cancel(&self, owner: &Owner, id: &str) -> Result<Option<Arc<Log>>, StoreError> {
        let Some(log) = self.store.find(owner, id).await? else { return Ok(None) };
        if self.tasks.cancel(id) {
            log.closed().await;
        }
        Ok(Some(log))
    }

    /// Forgets an interaction of this owner, and says whether there was one. In the foreground one that
    /// runs goes on for the client that waits for it; for the others nobody does.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        let Some(log) = self.store.find(owner, id).await? else { return Ok(false) };
        let deleted = self.store.delete(owner, id).await?;
        if log.head().in_background() {
            self.tasks.cancel(id);
        }
        Ok(deleted)
    }

    /// How many interactions run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Waits for what runs, at most this long; then cancels it, and waits for that. What runs in the
    /// background is left to the next server.
    pub async fn stop(&self, grace: Duration) {
        self.running.close();
        if tokio::time::timeout(grace, self.running.wait()).await.is_err() {
            self.stop.cancel();
            self.running.wait().await;
        }
    }

    /// How many tokens a request is to a model that does not count them itself.
    pub async fn count_tokens(&self, request: &Request) -> Result<Tokens, EngineError> {
        let files = files::of_input(&request.input, &self.sources, &request.owner).await?;
        let instruction = request.system_instruction.as_deref();
        let sent_ahead = &self.sources.sent_ahead;
        Ok(usage::of_prompt(instruction, &request.input, &files, sent_ahead).await?)
    }

    /// What the model is told, and the files that come with it. Notes down that it was asked.
    async fn prompt(
        &self,
        namespace: &Namespace,
        request: &Request,
    ) -> Result<(Prompt, Vec<files::File>), EngineError> {
        let last = request.previous_interaction_id.as_deref();
        let mut steps = self.history(&request.owner, last).await?;
        if let Some(call) = calls::unknown(&steps, &request.input) {
            return Err(EngineError::UnknownCall(call.to_owned()));
        }
        steps.extend(request.input.iter().cloned());
        let files = files::of_input(&steps, &self.sources, &request.owner).await?;
        let note = self.journal.write(namespace, asked(request, &steps, &files));
        let note = note.counting(self.counts.of(namespace));
        trace::asked(&note);
        let mut tools = request.tools.clone();
        tools.google_search &= self.search.is_some();
        let prompt = Prompt {
            namespace: namespace.clone(),
            note,
            recording: RecordingSession::for_client(Arc::clone(&request.keys)),
            model: request.model.clone(),
            system_instruction: request.system_instruction.clone(),
            tools,
            generation_config: request.generation_config.clone(),
            steps: steps.into(),
            files: files.iter().map(|file| file.about.clone()).collect(),
        };
        Ok((prompt, files))
    }

    /// The steps of a chain of this owner, oldest first.
    async fn history(&self, owner: &Owner, last: Option<&str>) -> Result<Vec<Step>, EngineError> {
        let mut links = Vec::new();
        let mut id = last.map(str::to_owned);
        while let Some(wanted) = id {
            if links.len() == MAX_CHAIN {
                return Err(EngineError::ChainTooLong);
            }
            let Some(log) = self.store.find(owner, &wanted).await? else {
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

/// Whether what the model thinks is shown, unless the client does not want it.
fn summaries(generation_config: &Value) -> Summaries {
    if generation_config["thinking_summaries"] == "none" {
        Summaries::Hidden
    } else {
        Summaries::Shown
    }
}

fn asked(request: &Request, steps: &[Step], files: &[files::File]) -> Asked {
    let results = request.input.iter().filter_map(|step| match step {
        Step::FunctionResult(result) => Some(result.result.clone()),
        _ => None,
    });
    Asked {
        model: request.model.clone(),
        input: steps.iter().rev().find_map(Step::user_text).unwrap_or_default(),
        system_instruction: request.system_instruction.clone(),
        tools: request.tools.offered.clone(),
        turn: steps.iter().filter(|step| matches!(step, Step::UserInput(_))).count(),
        files: files.iter().map(|file| file.about.name.clone()).collect(),
        function_results: results.collect(),
        generation_config: request.generation_config.clone(),
        previous_interaction_id: request.previous_interaction_id.clone(),
    }
}
