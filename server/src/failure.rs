//! What clients read about failures of the server's own parts, each sentence once. None of them
//! reveals anything about the machine; the error itself goes to the log.

use crate::interaction::{Failure, FailureKind};
use crate::sandbox::SandboxError;
use crate::store::StoreError;

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

impl From<&SandboxError> for Failure {
    fn from(error: &SandboxError) -> Failure {
        match error {
            SandboxError::Busy => {
                Failure::new(FailureKind::ResourceExhausted, "All cells are in use. Try again.")
            }
            SandboxError::NoMemory => no_memory(),
            SandboxError::Unavailable(_)
            | SandboxError::TooThin { .. }
            | SandboxError::Start { .. }
            | SandboxError::Ended(_)
            | SandboxError::Connect { .. }
            | SandboxError::Frame(_)
            | SandboxError::Silent => {
                Failure::new(FailureKind::Unavailable, "The sandbox is not available.")
            }
            SandboxError::Invalid(why) => {
                let why = format!("Invalid request to the sandbox: {why}.");
                Failure::new(FailureKind::InvalidRequest, why)
            }
            SandboxError::OutOfTurn => Failure::new(FailureKind::Internal, INTERNAL),
        }
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Failure {
        match (error, error.unwritable()) {
            (StoreError::NoMemory, _) => no_memory(),
            (_, Some(why)) => Failure::new(FailureKind::Unavailable, why),
            (_, None) => Failure::new(FailureKind::Internal, INTERNAL),
        }
    }
}
