//! One session: a cell, used by one request at a time.
//!
//! ```text
//! idle ──request──▶ busy ──no request waits──▶ idle ──too long, too old, deleted──▶ ended
//!                    │                                                               ▲
//!                    └──its code ends the cell, or the sandbox does──────────────────┘
//! ```
//!
//! Each request runs in a task of its own, so that a client that disconnects does not leave a cell in the middle
//! of a message.

mod files;
pub(crate) mod registry;
mod run;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use sandbox_client::{CellClient, SandboxError};
use tokio::sync::{MappedMutexGuard, MutexGuard};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::end::SessionEnd;
use crate::error::SessionError;
use crate::session::registry::{Registry, Slot};
use crate::session::run::RunningCode;
use domain::owner::Owner;

pub use run::{Interruption, PieceReceiver, SessionRun};

/// Maximum number of requests that wait for the current one.
pub const MAX_WAITING: usize = 16;
/// A cell that is kept between requests.
#[derive(Debug)]
pub struct Session {
    pub id: String,
    pub(crate) owner: Owner,
    pub about: SessionDescription,
    created: (Timestamp, Instant),
    max_age: Duration,
    /// `None` once the session has ended.
    cell: tokio::sync::Mutex<Option<OpenCell>>,
    pub(crate) use_of: Mutex<SessionUse>,
    ended: CancellationToken,
    registry: Weak<Registry>,
}

/// A cell, and the place that it takes among those of its owner.
#[derive(Debug)]
pub(crate) struct OpenCell {
    pub(crate) client: CellClient,
    pub(crate) _slot: Slot,
}

/// What a client chooses about a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionDescription {
    /// It ends when it has not been used for this long.
    pub idle_timeout: Duration,
    /// Time limit of a run, unless a run has its own.
    pub timeout: Option<Duration>,
    pub labels: BTreeMap<String, String>,
}

/// The use of a session so far.
#[derive(Debug)]
pub(crate) struct SessionUse {
    /// Requests that use the cell or wait for it.
    requests: usize,
    last: Instant,
    pub(crate) held_bytes: u64,
    runs: u64,
    /// The code that runs.
    running: Option<RunningCode>,
}

/// The state of a session, for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    pub created: Timestamp,
    /// When it ends, if it is not used before.
    pub expires: Timestamp,
    pub is_running: bool,
    pub runs: u64,
    /// Memory that its processes and files held after the last run.
    pub held_bytes: u64,
}

impl SessionUse {
    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

impl Session {
    pub(crate) fn new(
        id: String,
        owner: Owner,
        about: SessionDescription,
        cell: OpenCell,
        registry: &Arc<Registry>,
    ) -> Session {
        let now = Instant::now();
        let use_of = SessionUse { requests: 0, last: now, held_bytes: 0, runs: 0, running: None };
        Session {
            id,
            owner,
            about,
            created: (Timestamp::now(), now),
            max_age: registry.limits.max_age,
            cell: tokio::sync::Mutex::new(Some(cell)),
            use_of: Mutex::new(use_of),
            ended: CancellationToken::new(),
            registry: Arc::downgrade(registry),
        }
    }

    /// Why the session has ended, if it has.
    pub fn end(&self) -> Option<SessionEnd> {
        self.registry.upgrade()?.end_of(&self.owner, &self.id)
    }

    pub fn state(&self) -> SessionStatus {
        let expires = self.deadline().0.saturating_duration_since(Instant::now());
        let use_of = self.use_of.lock();
        SessionStatus {
            created: self.created.0,
            expires: Timestamp::now().saturating_add(expires).unwrap_or(Timestamp::MAX),
            is_running: use_of.is_running(),
            runs: use_of.runs,
            held_bytes: use_of.held_bytes,
        }
    }

    /// When the session ends, and why. The idle time of one in use begins when it is no longer.
    pub(crate) fn deadline(&self) -> (Instant, SessionEnd) {
        let oldest = self.created.1 + self.max_age;
        let use_of = self.use_of.lock();
        let last = if use_of.requests > 0 { Instant::now() } else { use_of.last };
        match last + self.about.idle_timeout {
            idle if idle < oldest => (idle, SessionEnd::Idle),
            _ => (oldest, SessionEnd::TooOld),
        }
    }

    /// Whether its cell exists, as far as can be seen without waiting for a request in progress.
    pub(crate) fn is_alive(&self) -> bool {
        match self.cell.try_lock() {
            Ok(cell) => cell.as_ref().is_some_and(|cell| cell.client.is_alive()),
            Err(_) => true,
        }
    }

    /// Stops requests in progress, and kills the processes of the cell.
    pub(crate) async fn close(&self) {
        self.ended.cancel();
        drop(self.cell.lock().await.take());
    }

    /// Waits for the cell.
    async fn cell(&self) -> Result<MappedMutexGuard<'_, CellClient>, SessionError> {
        let cell = MutexGuard::try_map(self.cell.lock().await, |cell| {
            cell.as_mut().map(|open| &mut open.client)
        });
        cell.map_err(|_| self.why_ended())
    }

    /// Runs a request to its end, or to that of the session.
    async fn task<T: Send + 'static>(
        self: &Arc<Session>,
        work: impl Future<Output = Result<T, SessionError>> + Send + 'static,
    ) -> Result<T, SessionError> {
        let Some(registry) = self.registry.upgrade() else { return Err(self.why_ended()) };
        let mark = self.begin_request()?;
        let session = Arc::clone(self);
        let ended = self.ended.clone();
        let task = registry.tasks.spawn(async move {
            let _mark = mark;
            let done = ended.run_until_cancelled(work).await;
            done.unwrap_or_else(|| Err(session.why_ended()))
        });
        task.await.unwrap_or(Err(SessionError::Panicked))
    }

    fn begin_request(self: &Arc<Session>) -> Result<RequestMark, SessionError> {
        let mut use_of = self.use_of.lock();
        if use_of.requests > MAX_WAITING {
            return Err(SessionError::Busy { id: self.id.clone(), waiting: MAX_WAITING });
        }
        use_of.requests += 1;
        Ok(RequestMark(Arc::clone(self)))
    }

    /// Ends the session if its cell is gone, or has been left in the middle of a message.
    fn used<T>(&self, result: Result<T, SandboxError>) -> Result<T, SessionError> {
        match result {
            Ok(value) => Ok(value),
            Err(error @ (SandboxError::Invalid(_) | SandboxError::NoMemory)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(session.id = %self.id, %error, "cell of a session lost");
                if let Some(registry) = self.registry.upgrade() {
                    registry.end(self, SessionEnd::Sandbox);
                }
                Err(self.why_ended())
            }
        }
    }

    fn why_ended(&self) -> SessionError {
        let end = self.end().unwrap_or(SessionEnd::Stopped);
        SessionError::Ended { id: self.id.clone(), end }
    }
}

/// A request in progress.
struct RequestMark(Arc<Session>);

impl Drop for RequestMark {
    fn drop(&mut self) {
        let mut use_of = self.0.use_of.lock();
        use_of.requests -= 1;
        use_of.last = Instant::now();
    }
}
