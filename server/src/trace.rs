//! Collects what a request led to, for its line in the log.
//!
//! The outermost layer writes the line, but the facts become known far below it. A task-local
//! variable connects the two.

use std::sync::Arc;

use axum::extract::MatchedPath;
use parking_lot::{Mutex, MutexGuard};

use journal::{JournalHandle, RequestOutcome};

/// The template of paths that lead to no route.
const NO_ROUTE: &str = "none";

tokio::task_local! {
    static CURRENT: Trace;
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Trace(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    note: Option<JournalHandle>,
    by: Option<&'static str>,
    route: Option<MatchedPath>,
    /// The method in a path such as `/models/{model}:generateContent`.
    method: Option<&'static str>,
    /// Runs outside of an interaction.
    runs: u32,
    failed_runs: u32,
}

/// The collected facts.
#[derive(Debug, Default)]
pub struct RequestFacts {
    /// What answered, if no model did.
    pub by: Option<&'static str>,
    /// The template of its path.
    pub route: String,
    pub result: RequestOutcome,
}

impl Trace {
    /// Runs a request with this trace as its task-local trace.
    pub async fn follow<T>(&self, carried_out: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), carried_out).await
    }

    pub fn found(&self) -> RequestFacts {
        let seen = self.seen();
        let mut result = seen.note.as_ref().map(JournalHandle::outcome_so_far).unwrap_or_default();
        result.runs += seen.runs;
        result.failed_runs += seen.failed_runs;
        let route = match (&seen.route, seen.method) {
            (None, _) => NO_ROUTE.to_owned(),
            (Some(path), None) => path.as_str().to_owned(),
            (Some(path), Some(method)) => {
                path.as_str().replace("{*rest}", &format!("{{model}}:{method}"))
            }
        };
        RequestFacts { by: seen.by, route, result }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock()
    }
}

/// Sets the template of the current request's path.
pub fn routed(path: Option<&MatchedPath>) {
    with(|seen| seen.route = path.cloned());
}

/// Sets the method of a model that the current request calls.
pub fn called(method: &'static str) {
    with(|seen| seen.method = Some(method));
}

/// Attaches the journal entry to the current request.
pub fn asked(note: &JournalHandle) {
    with(|seen| seen.note = Some(note.clone()));
}

/// Sets what answered the current request, if no model did.
pub fn answered_by(by: &'static str) {
    with(|seen| seen.by = Some(by));
}

/// Counts a run that the current request started itself.
pub fn ran(has_failed: bool) {
    with(|seen| {
        seen.runs += 1;
        seen.failed_runs += u32::from(has_failed);
    });
}

fn with(change: impl FnOnce(&mut Seen)) {
    // An interaction that resumes after a restart has no request.
    let _ = CURRENT.try_with(|trace| change(&mut trace.seen()));
}
