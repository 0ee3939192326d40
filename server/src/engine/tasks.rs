//! What runs, by its id, so that somebody else than the client that asked may cancel it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Mutex<HashMap<String, CancellationToken>>>);

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
