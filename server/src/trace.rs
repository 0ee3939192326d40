//! What a request led to, for the line that the log has of it when it is over.
//!
//! The layer that writes the line is outermost, and what is to be known is found out far below it.
//! Between them stands a slot of the task that carries the request out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal::{Fate, Note};

tokio::task_local! {
    static CURRENT: Trace;
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Trace(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    note: Option<Note>,
    by: Option<&'static str>,
    /// Of code that no interaction ran.
    runs: u32,
    failed_runs: u32,
}

/// What was found out.
#[derive(Debug, Default)]
pub struct Found {
    /// Who answered, where no model did.
    pub by: Option<&'static str>,
    pub fate: Fate,
}

impl Trace {
    /// Carries out a request whose trace this is.
    pub async fn follow<T>(&self, carried_out: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), carried_out).await
    }

    pub fn found(&self) -> Found {
        let seen = self.seen();
        let mut fate = seen.note.as_ref().map(Note::fate_so_far).unwrap_or_default();
        fate.runs += seen.runs;
        fate.failed_runs += seen.failed_runs;
        Found { by: seen.by, fate }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request of this task is noted down there.
pub fn asked(note: &Note) {
    with(|seen| seen.note = Some(note.clone()));
}

/// Something else than a model answers the request of this task.
pub fn answered_by(by: &'static str) {
    with(|seen| seen.by = Some(by));
}

/// The request of this task has run code itself.
pub fn ran(has_failed: bool) {
    with(|seen| {
        seen.runs += 1;
        seen.failed_runs += u32::from(has_failed);
    });
}

fn with(change: impl FnOnce(&mut Seen)) {
    // What goes on after a restart has no request.
    let _ = CURRENT.try_with(|trace| change(&mut trace.seen()));
}
