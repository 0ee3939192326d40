//! What clients read about a failure of the sandbox.

use domain::failure::{INTERNAL, no_memory};
use domain::interaction::{Failure, FailureKind};

use crate::SandboxError;

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
            | SandboxError::CellLost
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
