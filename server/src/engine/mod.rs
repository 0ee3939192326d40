//! The loop of an interaction: asks the model, runs its code, and records the result. The only code
//! that uses both a model and the sandbox.

mod drive;
mod embed;
mod error;
mod ids;
mod input;
mod prompt;
mod recording;
mod request;
mod rerun;
mod response_format;
mod resume;
mod run;
mod start;
mod tasks;

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use backend::Backend;
use domain::counts::Counts;
use domain::interaction::{Limits, Tokens};
use ids::IdGenerator;
use input::files;
use journal::Journal;
use metrics::InteractionMetrics;
use resources::places::Places;
use run::usage;
use sandbox_client::Sandbox;
use search::Search;
use store::{Log, Owner, Store, StoreError};
use tasks::{Background, Tasks};

pub use embed::{EmbedContent, EmbedRequest, EmbeddedContent, Excess};
pub use error::EngineError;
pub use input::fetch::{FetchError, FetchFrom, Fetcher, InvalidUrlPrefix};
pub use input::files::{FileError, Sources};
pub use request::Request;
pub use rerun::Rerun;
pub use response_format::{
    ARGUMENT as CHECK_ARGUMENT, Checker as FormatChecker, SchemaError, check_formats,
};
pub use run::report::RunReport;
pub use start::Running;

/// Maximum number of interactions that run at the same time after they were resumed, of all owners and of one.
const RESUMED_AT_A_TIME: usize = 256;
const RESUMED_OF_OWNER: usize = 8;
/// Maximum number of requests of one owner whose embeddings are made at the same time. All together
/// they have as many places as there are processors.
const EMBEDDING_OF_OWNER: usize = 1;
/// Maximum number of unfinished background interactions of one owner, including those that began
/// before a restart.
const MAX_BACKGROUND: usize = 1000;
/// Maximum number of interactions in one chain.
const MAX_CHAIN: usize = 1000;
/// Maximum memory of the earlier interactions of a chain, without pictures and files: each turn copies it.
const MAX_CONVERSATION_BYTES: usize = 256 << 20;

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

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
    metrics: InteractionMetrics,
    ids: IdGenerator,
    running: TaskTracker,
    /// The running interactions by id.
    tasks: Tasks,
    background: Background,
    resuming: Places,
    /// For embeddings that this server makes.
    embedding: Places,
    formats: FormatChecker,
    stop: CancellationToken,
}

impl Engine {
    /// Whether the model creates and checks its own thought signatures.
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
            metrics: InteractionMetrics::default(),
            ids: IdGenerator::default(),
            running: TaskTracker::new(),
            tasks: Tasks::default(),
            background: Background::default(),
            resuming: Places::new(RESUMED_AT_A_TIME, RESUMED_OF_OWNER),
            embedding: Places::new(processors(), EMBEDDING_OF_OWNER),
            formats: FormatChecker::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Derives all ids from a seed.
    #[must_use]
    pub fn seeded(self, seed: Option<u64>) -> Engine {
        Engine { ids: IdGenerator(seed), ..self }
    }

    /// Keeps no journal, because no client may read it.
    #[must_use]
    pub fn without_journal(self) -> Engine {
        Engine { journal: Journal::off(), ..self }
    }

    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Measures of the interactions.
    pub fn metrics(&self) -> &InteractionMetrics {
        &self.metrics
    }

    /// Counters that persist between requests.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Cancels an interaction of this owner and returns its log after the end is stored. A finished
    /// interaction is not changed.
    pub async fn cancel(&self, owner: &Owner, id: &str) -> Result<Option<Arc<Log>>, StoreError> {
        let budget = &self.sandbox.budget().of(owner);
        let Some(log) = self.store.read(owner, id, budget).await? else { return Ok(None) };
        if self.tasks.cancel(id) {
            log.closed().await;
        }
        Ok(Some(log))
    }

    /// Deletes an interaction of this owner. Returns whether it existed. If it runs in the
    /// background it is cancelled; in the foreground it continues for the client that waits for it.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        let running = self.store.running(owner, id);
        let deleted = self.store.delete(owner, id).await?;
        if running.is_some_and(|log| log.head().in_background()) {
            self.tasks.cancel(id);
        }
        Ok(deleted)
    }

    /// Number of running interactions.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Waits for the running interactions, at most this long; then cancels them. Interactions in the
    /// background are left to the next server.
    pub async fn stop(&self, grace: Duration) {
        self.running.close();
        if tokio::time::timeout(grace, self.running.wait()).await.is_err() {
            self.stop.cancel();
            self.running.wait().await;
        }
    }

    /// Estimated number of tokens of a request, for a model that does not count them itself.
    pub async fn count_tokens(&self, request: &Request) -> Result<Tokens, EngineError> {
        let budget = &self.sandbox.budget().of(&request.owner);
        let (files, _fetched) =
            files::of_input(&request.input, &self.sources, &request.owner, budget).await?;
        let instruction = request.system_instruction.as_deref();
        let uploads = &self.sources.uploads;
        Ok(usage::of_prompt(instruction, &request.input, &files, uploads).await?)
    }
}
