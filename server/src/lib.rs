//! Belljar's server: Gemini's Interactions API over a model that is plugged in and code that runs.
//!
//! In the order of a request: [`http`] reads it, [`engine`] carries it out with a [`backend`] and
//! the [`sandbox`], [`store`] keeps what happens, and [`http`] tells it.

#![forbid(unsafe_code)]

pub mod backend;
pub mod config;
pub mod doctor;
pub mod engine;
mod http;
mod ids;
pub mod interaction;
pub mod sandbox;
pub mod store;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use protocol::Description;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use backend::Backend;
use engine::Engine;
use sandbox::{Sandbox, SandboxError};
use store::Store;

pub use http::{Door, Keys};

/// How long answers may take to be sent when all work is done or cancelled.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Between two looks at a warden that somebody else will start.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What a server is made of.
#[derive(Debug)]
pub struct Parts {
    pub listener: TcpListener,
    pub sandbox: Arc<Sandbox>,
    pub backend: Arc<dyn Backend>,
    pub store: Store,
}

/// How it serves. There is no default: whoever starts one decides.
#[derive(Debug, Clone)]
pub struct Settings {
    pub limits: interaction::Limits,
    pub door: Door,
    pub shutdown_grace: Duration,
}

/// Why a server ended that was not asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the sandbox does not come up: {0}")]
    Sandbox(SandboxError),
}

/// Serves until `shutdown`. It listens from the beginning; `ready` is called once, when the first
/// execution would be served at once.
pub async fn run(
    settings: Settings,
    parts: Parts,
    ready: impl FnOnce(&Description),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let Parts { listener, sandbox, backend, store } = parts;
    let engine =
        Arc::new(Engine::new(backend, Arc::clone(&sandbox), store.clone(), settings.limits));
    let stopping = CancellationToken::new();
    let (has_been_ready, was_ready) = watch::channel(false);
    let app = http::App {
        engine: Arc::clone(&engine),
        store: store.clone(),
        sandbox: Arc::clone(&sandbox),
        was_ready,
        stopping: stopping.clone(),
    };
    let router = http::router(app, settings.door);
    let serving =
        AbortOnDropHandle::new(tokio::spawn(http::serve(listener, router, stopping.clone())));

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
    let (_, said) =
        tokio::join!(engine.stop(grace), tokio::time::timeout(grace + LAST_WORDS, serving));
    if said.is_err() {
        tracing::warn!("connections were still open at the end");
    }
    store.close().await;
    ended
}

/// Waits for a place where code can run. A warden of our own that dies is an error; one that
/// somebody else starts may be late.
async fn sandbox_ready(sandbox: &Sandbox) -> Result<Description, SandboxError> {
    let mut told = false;
    loop {
        match sandbox.ready().await {
            Ok(description) => return Ok(description),
            Err(error) if sandbox.is_ours() => return Err(error),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(error = %error, "waiting for the sandbox");
                }
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
        }
    }
}
