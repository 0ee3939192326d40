//! Sessions: cells that are kept between requests, with their variables and files, until they are deleted, idle for
//! too long or too old. Each belongs to an owner.
//!
//! They are not stored: they end with the server, and with the warden.

#![forbid(unsafe_code)]

mod end;
mod error;
mod id;
mod limits;
mod session;

use std::sync::Arc;

use bytes::Bytes;
use metrics::SessionMetrics;
use sandbox_client::{Again, CellClient, Sandbox, SandboxError};
use tokio_util::task::AbortOnDropHandle;

use crate::session::OpenCell;
use crate::session::registry::Registry;
use domain::owner::Owner;

pub use end::SessionEnd;
pub use error::SessionError;
pub use limits::SessionLimits;
pub use session::{
    Interruption, MAX_WAITING, PieceReceiver, Session, SessionDescription, SessionRun,
    SessionStatus,
};

/// The sessions of a server.
#[derive(Debug)]
pub struct Sessions {
    registry: Arc<Registry>,
    sandbox: Arc<Sandbox>,
    _janitor: AbortOnDropHandle<()>,
}

impl Sessions {
    /// Has to be called in a runtime: a task ends the sessions that are over their time.
    pub fn new(sandbox: Arc<Sandbox>, limits: SessionLimits) -> Sessions {
        let registry = Arc::new(Registry::new(limits));
        let janitor = tokio::spawn(expire(Arc::clone(&registry)));
        Sessions { registry, sandbox, _janitor: AbortOnDropHandle::new(janitor) }
    }

    pub fn limits(&self) -> SessionLimits {
        self.registry.limits
    }

    /// The metrics of all owners' sessions, with those that are open now.
    pub fn metrics(&self) -> &SessionMetrics {
        self.registry.metrics.set_open(self.registry.open());
        &self.registry.metrics
    }

    /// Opens a session with these files in its work directory.
    pub async fn create(
        &self,
        owner: &Owner,
        about: SessionDescription,
        files: &[(String, Bytes)],
    ) -> Result<Arc<Session>, SessionError> {
        let slot = self.registry.reserve(owner)?;
        let client = self.open(owner, files).await?;
        let cell = OpenCell { client, _slot: slot };
        let id = self.registry.new_id();
        let session = Session::new(id, owner.clone(), about, cell, &self.registry);
        let session = Arc::new(session);
        self.registry.add(&session)?;
        Ok(session)
    }

    async fn open(
        &self,
        owner: &Owner,
        files: &[(String, Bytes)],
    ) -> Result<CellClient, SandboxError> {
        let mut again = Again::new();
        loop {
            let opened = async {
                let cell = self.sandbox.open_to_keep().await?;
                let mut cell = cell.charged_to(self.sandbox.budget().of(owner));
                for (name, content) in files {
                    cell.put(name, content).await?;
                }
                Ok(cell)
            };
            match opened.await {
                Err(error) if again.after(&error).await => {}
                opened => return opened,
            }
        }
    }

    pub fn find(&self, owner: &Owner, id: &str) -> Result<Arc<Session>, SessionError> {
        let session = self.registry.find(owner, id)?;
        if session.is_alive() {
            return Ok(session);
        }
        self.registry.end(&session, SessionEnd::Sandbox);
        self.registry.find(owner, id)
    }

    /// The sessions of an owner, oldest first.
    pub fn list(&self, owner: &Owner) -> Vec<Arc<Session>> {
        let mut open = self.registry.of(owner);
        open.retain(|session| {
            let is_alive = session.is_alive();
            if !is_alive {
                self.registry.end(session, SessionEnd::Sandbox);
            }
            is_alive
        });
        open
    }

    /// Deletes a session. Returns when its place is free.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<(), SessionError> {
        let session = self.registry.find(owner, id)?;
        if let Some(session) = self.registry.remove(&session, SessionEnd::Deleted) {
            session.close().await;
        }
        Ok(())
    }

    /// Ends all sessions.
    pub async fn stop(&self) {
        self.registry.stop().await;
    }
}

/// Ends sessions at their deadlines.
async fn expire(registry: Arc<Registry>) {
    loop {
        let next = registry.expire();
        let added = registry.added.notified();
        match next {
            Some(at) => drop(tokio::time::timeout_at(at, added).await),
            None => added.await,
        }
    }
}
