//! Belljar's server: Gemini's API in front of a pluggable model and a sandbox for its code.
//!
//! In the order of a request: [`http`] parses it, [`engine`] carries it out with one of the [`backends`]
//! and the [`sandbox_client`], [`store`] keeps its events, and [`http`] sends the response.

#![forbid(unsafe_code)]

pub mod backends;
pub mod cause;
pub mod config;
pub mod doctor;
pub mod embedding;
pub mod engine;
pub mod exec;
mod http;
pub mod listen;
pub mod mcp;
pub mod trace;
pub mod validate;
pub mod verify;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use protocol::Description;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use backend::Backend;
use domain::chaos::fault::Fault;
use domain::interaction::Limits;
use engine::{Engine, FetchFrom, Fetcher, Sources};
use listen::Listeners;
use metrics::{Exposition, MetricSet};
use sandbox_client::{Sandbox, SandboxError};
use scenario::AddedScenarios;
use search::Search;
use sessions::Sessions;
use store::{FileLimits, Files, Store};

pub use sessions::SessionLimits;

pub use http::{ANY_TOKEN, AllowedClients, Control, Hosts, HttpConfig, Keys, ModelCatalog};

/// How long clients may take to receive their responses after the last interaction has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of the deletion of expired data.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Interval of checks while the warden is not ready.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The components of a server.
#[derive(Debug)]
pub struct Components {
    pub listeners: Listeners,
    pub sandbox: Arc<Sandbox>,
    pub backend: Arc<dyn Backend>,
    /// Search for models; `None` disables it.
    pub search: Option<Arc<dyn Search>>,
    pub store: Store,
    /// Scenarios that clients add; shared with the scripted model.
    pub additions: Arc<AddedScenarios>,
}

/// Settings of a server. They have no defaults here.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: Limits,
    /// Seed of names and times; `None` makes them random.
    pub seed: Option<u64>,
    pub http: HttpConfig,
    /// Faults for all requests.
    pub faults: Vec<Fault>,
    /// Names of the models that `backend` answers for.
    pub models: ModelCatalog,
    pub files: FileLimits,
    pub sessions: SessionLimits,
    /// How long interactions are kept.
    pub retention: Duration,
    /// Allowed prefixes of URLs in requests, from which the server fetches files.
    pub fetch_from: FetchFrom,
    pub shutdown_grace: Duration,
}

/// Why a server stopped without a request to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("could not start the sandbox: {0}")]
    Sandbox(#[source] SandboxError),
    #[error("could not set up the file fetcher: {0}")]
    Fetcher(#[from] reqwest::Error),
}

/// Serves until `shutdown` completes. Listens immediately; calls `ready` once, when code can run
/// without delay.
pub async fn run(
    settings: Settings,
    components: Components,
    ready: impl FnOnce(&Description),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Components { listeners, sandbox, backend, search, store, additions } = components;
    let files = store.files(settings.files);
    let engine = Engine::new(
        backend,
        Arc::clone(&sandbox),
        search,
        store.clone(),
        Sources { uploads: files.clone(), fetcher: Fetcher::new(settings.fetch_from)? },
        settings.limits,
    );
    let engine = engine.seeded(settings.seed);
    let engine = Arc::new(match settings.http.control {
        Control::On => engine,
        Control::Off => engine.without_journal(),
    });
    let _sweeper = AbortOnDropHandle::new(tokio::spawn(sweep(
        store.clone(),
        files.clone(),
        settings.retention,
    )));
    let (stopping, stopped) = (CancellationToken::new(), CancellationToken::new());
    let in_flight = http::InFlight::default();
    let (has_been_ready, was_ready) = watch::channel(false);
    engine.resume(&was_ready);
    let sessions = Arc::new(Sessions::new(Arc::clone(&sandbox), settings.sessions));
    let metrics = Exposition::new(MetricSet {
        interactions: engine.metrics().clone(),
        code: sandbox.metrics().clone(),
        sessions: sessions.metrics().clone(),
        store: store.metrics().clone(),
        ..MetricSet::default()
    });
    let faults =
        http::Faults::new(settings.faults, settings.http.control, metrics.parts.requests.clone());
    let app = http::App::new(http::AppComponents {
        engine: Arc::clone(&engine),
        store: store.clone(),
        sandbox: Arc::clone(&sandbox),
        mcp: http::McpServers::new(Arc::clone(&sessions), stopping.clone()),
        sessions: Arc::clone(&sessions),
        additions,
        faults: Arc::new(faults),
        metrics,
        body_limits: http::BodyLimits::new(settings.http.request_bytes),
        catalog: Arc::new(settings.models),
        console: settings.http.console,
        fake_credentials: settings.http.fake_credentials,
        files,
        batches: http::BatchRunner::default(),
        was_ready,
        stopping: stopping.clone(),
        stopped: stopped.clone(),
        in_flight: in_flight.clone(),
    });
    if let Err(error) = app.batches.resume(&app).await {
        tracing::error!(%error, "batches not resumed");
    }
    let batches = app.clone();
    let write_timeout = settings.http.write_timeout;
    let service = http::service(app, settings.http);
    let serving = http::serve(listeners, service, write_timeout, stopping.clone());
    let serving = AbortOnDropHandle::new(tokio::spawn(serving));

    let sandbox_up = async {
        let description = sandbox_ready(&sandbox).await?;
        has_been_ready.send_replace(true);
        ready(&description);
        // From here on only a failure ends the server.
        std::future::pending::<Result<Infallible, SandboxError>>().await
    };
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        Err(error) = sandbox_up => Err(ServeError::Sandbox(error)),
    };

    // New requests are rejected. Running requests get the grace period, then their clients get the
    // end of the response.
    stopping.cancel();
    let grace = settings.shutdown_grace;
    log_shutdown(engine.running(), in_flight.count(), grace);
    let _at_the_end_of_grace = AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(grace).await;
        stopped.cancel();
    }));
    // The next server resumes them. Their interactions end with them.
    batches.batches.stop().await;
    let (_, drained) =
        tokio::join!(engine.stop(grace), tokio::time::timeout(grace + DRAIN_TIMEOUT, serving));
    if drained.is_err() {
        tracing::warn!(requests = in_flight.count(), "connections closed while open");
    }
    sessions.stop().await;
    sandbox.stop().await;
    store.close().await;
    ended
}

/// Logs how many requests the shutdown waits for.
fn log_shutdown(interactions: usize, requests: usize, grace: Duration) {
    if interactions == 0 && requests == 0 {
        tracing::info!("stopping");
    } else if !grace.is_zero() {
        let grace = config::time_text(grace);
        tracing::warn!(interactions, requests, grace, "stopping, signal again to force");
    }
}

/// Periodically deletes expired data, unless the clock is implausible.
async fn sweep(store: Store, files: Files, retention: Duration) {
    let mut clock = store.clock();
    loop {
        let now = Timestamp::now();
        if !clock.is_trusted(now) {
            tokio::time::sleep(SWEEP_EVERY).await;
            continue;
        }
        if let Err(error) = files.sweep(now).await {
            tracing::warn!(error = %error, "could not delete expired files");
        }
        if let Err(error) = store.cached_contents().sweep(now).await {
            tracing::warn!(error = %error, "could not delete cached contents");
        }
        // On underflow nothing is old enough to delete.
        let oldest = now.checked_sub(retention).unwrap_or(Timestamp::MIN);
        if let Err(error) = store.batches().sweep(oldest).await {
            tracing::warn!(error = %error, "could not delete old batches");
        }
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

/// Waits until a cell is available and logs the reason for the wait. The exit of our own warden is
/// an error; an external warden may start late.
async fn sandbox_ready(sandbox: &Sandbox) -> Result<Description, SandboxError> {
    let mut logged = String::new();
    loop {
        match sandbox.describe().await {
            Ok(description) if description.ready => return sandbox.ready().await,
            Ok(description) => {
                if logged != description.waiting_for {
                    logged = description.waiting_for;
                    tracing::info!(waiting_for = logged, "sandbox not ready yet");
                }
            }
            Err(error) if sandbox.is_ours() => return Err(error),
            Err(error) => {
                let error = error.to_string();
                if logged != error {
                    tracing::warn!(error, "waiting for the sandbox");
                    logged = error;
                }
            }
        }
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}
