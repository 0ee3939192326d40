//! What runs, by its id, so that somebody else than the client that asked may cancel it; and how many
//! interactions each owner has in the background.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::store::Owner;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Mutex<HashMap<String, CancellationToken>>>);

/// Interactions in the background that have not ended, of each owner. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Background(Arc<Mutex<HashMap<Owner, usize>>>);

/// One of them, for as long as it has not ended.
#[derive(Debug)]
pub struct Counted {
    background: Background,
    owner: Owner,
}

impl Background {
    /// Counts one more, unless the owner has as many as it may have.
    pub fn begin(&self, owner: &Owner, limit: usize) -> Option<Counted> {
        let mut counts = self.counts();
        let count = counts.get(owner).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        counts.insert(owner.clone(), count + 1);
        Some(Counted { background: self.clone(), owner: owner.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Owner, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
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

/// A place in the list, for as long as the interaction runs.
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

    /// Ends an interaction, and says whether it ran.
    pub fn cancel(&self, id: &str) -> bool {
        let task = self.tasks().get(id).cloned();
        task.inspect(CancellationToken::cancel).is_some()
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.tasks.tasks().remove(&self.id);
    }
}
