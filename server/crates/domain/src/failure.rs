//! What clients read about failures of the server's own parts, each sentence once. None of them
//! reveals anything about the machine; the error itself goes to the log. The crates of the sandbox and
//! of the store have the sentences about their errors.

use crate::interaction::{Failure, FailureKind};

pub const INTERNAL: &str = "Internal error encountered.";

/// The memory budget for responses is exhausted.
pub fn no_memory() -> Failure {
    let why = "The server has no memory left for an answer of this size. Try again.";
    Failure::new(FailureKind::Unavailable, why)
}

/// The model's stream closed before its last event.
pub fn stream_ended() -> Failure {
    Failure::new(FailureKind::Unavailable, "The model broke off in the middle.")
}
