//! Logs of interactions that have ended, shared by those who read them at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Log;
use crate::store::Owner;

/// A log is here as long as a reader holds it.
#[derive(Debug, Default)]
pub struct SharedLogs(Mutex<HashMap<String, Weak<Log>>>);

impl SharedLogs {
    pub fn find(&self, owner: &Owner, id: &str) -> Option<Arc<Log>> {
        let log = self.0.lock().get(id).and_then(Weak::upgrade);
        log.filter(|log| log.head().owner == *owner)
    }

    /// Adds a log, or returns the one that another reader has added meanwhile.
    pub fn add(&self, log: Log) -> Arc<Log> {
        let mut logs = self.0.lock();
        let id = log.head().id.clone();
        if let Some(known) = logs.get(&id).and_then(Weak::upgrade) {
            return known;
        }
        // Each addition removes what earlier readers left, so the map stays as small as its use.
        logs.retain(|_, log| log.strong_count() > 0);
        let log = Arc::new(log);
        logs.insert(id, Arc::downgrade(&log));
        log
    }

    pub fn remove(&self, id: &str) {
        self.0.lock().remove(id);
    }
}
