//! All sessions of a server, by name.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{OpenSessions, SessionMetrics};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::end::{EndedSessions, SessionEnd};
use crate::error::SessionError;
use crate::id::{IdOrigin, SessionIds};
use crate::limits::SessionLimits;
use crate::session::Session;
use domain::owner::Owner;

const MIB: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) limits: SessionLimits,
    ids: SessionIds,
    known: Mutex<KnownSessions>,
    /// Requests in progress, and the ends of sessions.
    pub(crate) tasks: TaskTracker,
    /// A session has been added, whose deadline may be the next one.
    pub(crate) added: Notify,
    pub(crate) metrics: SessionMetrics,
}

#[derive(Debug, Default)]
struct KnownSessions {
    open: HashMap<String, Arc<Session>>,
    /// Number of cells of each owner, also of those that are being opened or ended.
    slots: HashMap<Owner, usize>,
    ended: EndedSessions,
    is_stopped: bool,
}

/// The place of a cell among those of its owner, free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    registry: Arc<Registry>,
    owner: Owner,
}

impl Registry {
    pub(crate) fn new(limits: SessionLimits) -> Registry {
        Registry {
            limits,
            ids: SessionIds::new(),
            known: Mutex::default(),
            tasks: TaskTracker::new(),
            added: Notify::new(),
            metrics: SessionMetrics::default(),
        }
    }

    /// A place for another session of this owner.
    pub(crate) fn reserve(self: &Arc<Registry>, owner: &Owner) -> Result<Slot, SessionError> {
        let (held, most) = (self.held_by(owner), self.limits.memory_bytes);
        if held >= most {
            return Err(SessionError::Memory { held: held / MIB, most: most / MIB });
        }
        let mut known = self.known.lock();
        let count = known.slots.entry(owner.clone()).or_default();
        if *count >= self.limits.sessions_of_owner {
            return Err(SessionError::TooMany(self.limits.sessions_of_owner));
        }
        *count += 1;
        Ok(Slot { registry: Arc::clone(self), owner: owner.clone() })
    }

    pub(crate) fn new_id(&self) -> String {
        self.ids.make()
    }

    pub(crate) fn add(&self, session: &Arc<Session>) -> Result<(), SessionError> {
        let mut known = self.known.lock();
        if known.is_stopped {
            let id = session.id.clone();
            return Err(SessionError::Ended { id, end: SessionEnd::Stopped });
        }
        known.open.insert(session.id.clone(), Arc::clone(session));
        self.metrics.started();
        self.added.notify_one();
        Ok(())
    }

    pub(crate) fn find(&self, owner: &Owner, id: &str) -> Result<Arc<Session>, SessionError> {
        let known = self.known.lock();
        if let Some(session) = known.open.get(id).filter(|session| session.owner == *owner) {
            return Ok(Arc::clone(session));
        }
        let end = known.ended.find(owner, id);
        let earlier =
            (self.ids.origin(id) == IdOrigin::EarlierStart).then_some(SessionEnd::EarlierStart);
        Err(match end.or(earlier) {
            Some(end) => SessionError::Ended { id: id.to_owned(), end },
            None => SessionError::Unknown(id.to_owned()),
        })
    }

    /// The sessions of an owner, oldest first.
    pub(crate) fn of(&self, owner: &Owner) -> Vec<Arc<Session>> {
        let known = self.known.lock();
        let own = known.open.values().filter(|session| session.owner == *owner);
        let mut own: Vec<_> = own.cloned().collect();
        own.sort_by_key(|session| session.state().created);
        own
    }

    /// Memory that the sessions of an owner hold.
    pub(crate) fn held_by(&self, owner: &Owner) -> u64 {
        let known = self.known.lock();
        let own = known.open.values().filter(|session| session.owner == *owner);
        own.map(|session| session.use_of.lock().held_bytes).sum()
    }

    /// What the sessions of all owners do and hold.
    pub(crate) fn open(&self) -> OpenSessions {
        let mut open = OpenSessions::default();
        for session in self.known.lock().open.values() {
            let use_of = session.use_of.lock();
            match use_of.is_running() {
                true => open.running += 1,
                false => open.idle += 1,
            }
            open.held_bytes = open.held_bytes.saturating_add(use_of.held_bytes);
        }
        open
    }

    pub(crate) fn end_of(&self, owner: &Owner, id: &str) -> Option<SessionEnd> {
        self.known.lock().ended.find(owner, id)
    }

    /// Ends a session, unless it has ended. Its processes are killed in a task of its own.
    pub(crate) fn end(&self, session: &Session, end: SessionEnd) {
        if let Some(session) = self.remove(session, end) {
            self.tasks.spawn(async move { session.close().await });
        }
    }

    /// Takes a session out of the open ones, unless it has ended.
    pub(crate) fn remove(&self, session: &Session, end: SessionEnd) -> Option<Arc<Session>> {
        let mut known = self.known.lock();
        let found = known.open.remove(&session.id)?;
        tracing::info!(session.id = %session.id, reason = %end, "session ended");
        self.metrics.ended(end.reason());
        known.ended.add(&session.owner, &session.id, end);
        Some(found)
    }

    /// Ends all sessions that have reached their deadline. Returns the next deadline.
    pub(crate) fn expire(&self) -> Option<Instant> {
        let open: Vec<_> = self.known.lock().open.values().cloned().collect();
        let now = Instant::now();
        let mut next = None;
        for session in open {
            match session.deadline() {
                (at, end) if at <= now => self.end(&session, end),
                (at, _) => next = Some(next.map_or(at, |other: Instant| other.min(at))),
            }
        }
        next
    }

    /// Ends all sessions, and refuses others from now on.
    pub(crate) async fn stop(&self) {
        let open: Vec<_> = {
            let mut known = self.known.lock();
            known.is_stopped = true;
            known.open.values().cloned().collect()
        };
        for session in open {
            self.end(&session, SessionEnd::Stopped);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut known = self.registry.known.lock();
        if let Some(count) = known.slots.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                known.slots.remove(&self.owner);
            }
        }
    }
}
