//! Belljar's server: Gemini's Interactions API over a model that is plugged in and code that runs.
//!
//! In the order of a request: [`http`] reads it, [`engine`] carries it out with a [`backend`] and
//! the [`sandbox`], [`store`] keeps what happens, and [`http`] tells it.

#![forbid(unsafe_code)]

pub mod backend;
mod budget;
pub mod cause;
pub mod config;
pub mod counts;
pub mod doctor;
pub mod engine;
pub mod exec;
pub mod fault;
pub mod glob;
mod http;
mod ids;
pub mod interaction;
pub mod journal;
mod json;
pub mod listen;
pub mod namespace;
pub mod quirk;
pub mod recording;
pub mod sandbox;
pub mod scratch;
pub mod search;
pub mod store;
pub mod trace;
pub mod validate;
pub mod verify;
mod yaml;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use protocol::Description;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use backend::Backend;
use backend::scripted::AddedScenarios;
use engine::{Engine, FetchFrom, Fetcher, Sources};
use listen::Listeners;
use sandbox::{Sandbox, SandboxError};
use search::Search;
use store::{FileLimits, Files, Store};

pub use http::{Catalogue, Control, Door, Hosts, Keys, Visitors};

/// How long answers may take to be sent when all work is done or cancelled.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Between two looks for files whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Between two looks at a warden that is not ready.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    pub listeners: Listeners,
    pub sandbox: Arc<Sandbox>,
    pub backend: Arc<dyn Backend>,
    /// Where models look things up, if they may.
    pub search: Option<Arc<dyn Search>>,
    pub store: Store,
    /// What clients add to the scenarios; the scripted model has it too.
    pub additions: Arc<AddedScenarios>,
}

/// How it serves. There is no default: whoever starts one decides.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: interaction::Limits,
    /// What names and times follow from, unless they are new each time.
    pub seed: Option<u64>,
    pub door: Door,
    /// What befalls requests, whoever sends them.
    pub faults: Vec<fault::Fault>,
    /// The names of the models that `backend` answers for.
    pub models: Catalogue,
    pub files: FileLimits,
    /// How long an interaction is kept.
    pub retention: Duration,
    /// Where files may be fetched from that a request only names.
    pub fetch_from: FetchFrom,
    pub shutdown_grace: Duration,
}

/// Why a server ended that was not asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the sandbox did not come up: {0}")]
    Sandbox(#[source] SandboxError),
    #[error("files cannot be fetched: {0}")]
    Fetcher(#[from] reqwest::Error),
}

/// Serves until `shutdown`. It listens from the beginning; `ready` is called once, when the first
/// execution would be served at once.
pub async fn run(
    settings: Settings,
    parts: Parts,
    ready: impl FnOnce(&Description),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let Parts { listeners, sandbox, backend, search, store, additions } = parts;
    let files = store.files(settings.files);
    let engine = Engine::new(
        backend,
        Arc::clone(&sandbox),
        search,
        store.clone(),
        Sources { sent_ahead: files.clone(), elsewhere: Fetcher::new(settings.fetch_from)? },
        settings.limits,
    );
    let engine = engine.seeded(settings.seed);
    let engine = Arc::new(match settings.door.control {
        Control::On => engine,
        Control::Off => engine.without_journal(),
    });
    let _sweeper = AbortOnDropHandle::new(tokio::spawn(sweep(
        store.clone(),
        files.clone(),
        settings.retention,
    )));
    let stopping = CancellationToken::new();
    let in_flight = http::InFlight::default();
    let (has_been_ready, was_ready) = watch::channel(false);
    engine.resume(&was_ready);
    let app = http::App::new(http::Parts {
        engine: Arc::clone(&engine),
        store: store.clone(),
        sandbox: Arc::clone(&sandbox),
        additions,
        faults: Arc::new(http::Faults::new(settings.faults, settings.door.control)),
        catalogue: Arc::new(settings.models),
        files,
        was_ready,
        stopping: stopping.clone(),
        in_flight: in_flight.clone(),
    });
    let stalled_after = settings.door.stalled_after;
    let service = http::service(app, settings.door);
    let serving = http::serve(listeners, service, stalled_after, stopping.clone());
    let serving = AbortOnDropHandle::new(tokio::spawn(serving));

    let sandbox_up = async {
        let description = sandbox_ready(&sandbox).await?;
        has_been_ready.send_replace(true);
        ready(&description);
        // There is nothing more to wait for, and only a failure ends the server from here.
        std::future::pending::<Result<Infallible, SandboxError>>().await
    };
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        Err(error) = sandbox_up => Err(RunError::Sandbox(error)),
    };

    // Nobody new comes in. What runs may end, or is ended; then its clients get their last words.
    stopping.cancel();
    let grace = settings.shutdown_grace;
    tell_what_is_waited_for(engine.running(), in_flight.count(), grace);
    let (_, said) =
        tokio::join!(engine.stop(grace), tokio::time::timeout(grace + LAST_WORDS, serving));
    if said.is_err() {
        tracing::warn!(requests = in_flight.count(), "connections closed while open");
    }
    sandbox.stop().await;
    store.close().await;
    ended
}

/// The first thing that somebody wants to know who has asked for the end.
fn tell_what_is_waited_for(interactions: usize, requests: usize, grace: Duration) {
    if interactions == 0 && requests == 0 {
        tracing::info!("stopping");
    } else if !grace.is_zero() {
        let grace = config::time_text(grace);
        tracing::warn!(interactions, requests, grace, "stopping, signal again to force");
    }
}

/// Deletes what has expired, from time to time, where the clock can be believed.
async fn sweep(store: Store, files: Files, retention: Duration) {
    let mut clock = store.clock();
    loop {
        let now = Timestamp::now();
        if !clock.is_believed(now) {
            tokio::time::sleep(SWEEP_EVERY).await;
            continue;
        }
        if let Err(error) = files.sweep(now).await {
            tracing::warn!(error = %error, "could not delete expired files");
        }
        // A time before all times has nothing before it.
        let oldest = now.checked_sub(retention).unwrap_or(Timestamp::MIN);
        match store.expire(oldest).await {
            Ok(0) => {}
            Ok(interactions) => tracing::info!(interactions, "expired interactions deleted"),
            Err(error) => {
                tracing::warn!(error = %error, "could not delete expired interactions");
            }
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Waits for a place where code can run, and says what for. A warden of our own that dies is an error;
/// one that somebody else starts may be late.
async fn sandbox_ready(sandbox: &Sandbox) -> Result<Description, SandboxError> {
    let mut told = String::new();
    loop {
        match sandbox.describe().await {
            Ok(description) if description.ready => return sandbox.ready().await,
            Ok(description) => {
                if told != description.waiting_for {
                    told = description.waiting_for;
                    tracing::info!(waiting_for = told, "sandbox not ready yet");
                }
            }
            Err(error) if sandbox.is_ours() => return Err(error),
            Err(error) => {
                let error = error.to_string();
                if told != error {
                    tracing::warn!(error, "waiting for the sandbox");
                    told = error;
                }
            }
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}
