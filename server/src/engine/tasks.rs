//! Running interactions by id, so that other clients of the owner can cancel them; and the number of
//! background interactions of each owner.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use domain::owner::Owner;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Mutex<HashMap<String, CancellationToken>>>);

/// Number of unfinished background interactions of each owner. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Background(Arc<Mutex<HashMap<Owner, usize>>>);

/// Counts one background interaction until it is dropped.
#[derive(Debug)]
pub struct BackgroundSlot {
    background: Background,
    owner: Owner,
}

impl Background {
    /// Counts one more. None if the owner has reached the limit.
    pub fn begin(&self, owner: &Owner, limit: usize) -> Option<BackgroundSlot> {
        let mut counts = self.counts();
        let count = counts.get(owner).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        counts.insert(owner.clone(), count + 1);
        Some(BackgroundSlot { background: self.clone(), owner: owner.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.0.lock()
    }
}

impl Drop for BackgroundSlot {
    fn drop(&mut self) {
        let mut counts = self.background.counts();
        if let Some(count) = counts.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.owner);
            }
        }
    }
}

/// Lists an interaction until it is dropped.
#[derive(Debug)]
pub struct Listed {
    tasks: Tasks,
    id: String,
}

impl Tasks {
    pub fn list(&self, id: &str, cancel: CancellationToken) -> Listed {
        self.tasks().insert(id.to_owned(), cancel);
        Listed { tasks: self.clone(), id: id.to_owned() }
    }

    /// Cancels an interaction. Returns whether it was running.
    pub fn cancel(&self, id: &str) -> bool {
        let task = self.tasks().get(id).cloned();
        task.inspect(CancellationToken::cancel).is_some()
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.tasks.tasks().remove(&self.id);
    }
}
