//! Why a request to a session fails.

use sandbox_client::SandboxError;

use crate::end::SessionEnd;

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("session {0} not found")]
    Unknown(String),
    #[error("session {id} has ended: {end}")]
    Ended { id: String, end: SessionEnd },
    #[error("this API key has {0} sessions already, the maximum. Delete one")]
    TooMany(usize),
    #[error(
        "the sessions of this API key hold {held} MiB of memory, of at most {most}. Delete one"
    )]
    Memory { held: u64, most: u64 },
    #[error("session {id} has {waiting} requests that wait for its code to end, the maximum")]
    Busy { id: String, waiting: usize },
    #[error("no file {0}")]
    NoFile(String),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("a task of the session panicked")]
    Panicked,
}
