//! Logs of interactions that have ended, shared by those who read them at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::Log;
use crate::Owner;

type Slot = Arc<tokio::sync::Mutex<Weak<Log>>>;

/// A log is here as long as a reader holds it or waits for it.
#[derive(Debug, Default)]
pub struct SharedLogs(Mutex<HashMap<(Owner, String), Slot>>);

/// The only one who may read a log from the disk now.
#[derive(Debug)]
pub struct SharedLog(OwnedMutexGuard<Weak<Log>>);

impl SharedLogs {
    /// Waits while another reader loads this log from the disk.
    pub async fn of(&self, owner: &Owner, id: &str) -> SharedLog {
        let slot = {
            let mut slots = self.0.lock();
            // Each addition removes what earlier readers left, so the map stays as small as its use.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || is_in_use(slot));
            Arc::clone(slots.entry((owner.clone(), id.to_owned())).or_default())
        };
        SharedLog(slot.lock_owned().await)
    }

    /// Hides a deleted log from later readers.
    pub fn remove(&self, id: &str) {
        self.0.lock().retain(|(_, known), _| known != id);
    }
}

fn is_in_use(slot: &Slot) -> bool {
    slot.try_lock().is_ok_and(|log| log.strong_count() > 0)
}

impl SharedLog {
    pub fn log(&self) -> Option<Arc<Log>> {
        self.0.upgrade()
    }

    pub fn set(&mut self, log: Log) -> Arc<Log> {
        let log = Arc::new(log);
        *self.0 = Arc::downgrade(&log);
        log
    }
}
