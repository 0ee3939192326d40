//! Why an interaction failed after it had begun.

use crate::engine::response_format::CheckError;
use crate::engine::resume::replay::DifferentCalls;
use backend::BackendError;
use domain::failure;
use domain::interaction::{Failure, FailureKind};
use sandbox_client::SandboxError;
use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the model's stream ended early")]
    StreamEnded,
    #[error("code had another result when it was run again after a restart")]
    DifferentResult,
    #[error("the model called other functions after a restart")]
    DifferentCalls,
    /// With the limit.
    #[error("the model generated more than {0}")]
    TooMuch(String),
    #[error("no memory left for the model's output")]
    NoMemory,
    #[error("the answer does not match the response format: {0}")]
    InvalidAnswer(String),
    #[error("could not compare the answer with the response format: {0}")]
    Unchecked(CheckError),
    /// With its name.
    #[error("a file search store does not exist")]
    NoFileSearchStore(String),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RunError {
    /// For the log, without any text of the model or of a scenario.
    pub fn reason(&self) -> String {
        match self {
            RunError::Backend(BackendError::Failed(_)) => "the model failed".to_owned(),
            RunError::Backend(BackendError::Refused(_)) => {
                "the model refused the request".to_owned()
            }
            RunError::Backend(BackendError::Unavailable(_)) => {
                "the model is unavailable".to_owned()
            }
            RunError::InvalidAnswer(_) => {
                "the answer does not match the response format".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// For the client.
    pub fn failure(&self) -> Failure {
        let (kind, message) = match self {
            RunError::Backend(BackendError::Failed(failure)) => return failure.clone(),
            RunError::Backend(BackendError::Refused(why)) => {
                (FailureKind::InvalidRequest, why.clone())
            }
            RunError::Backend(BackendError::Unavailable(why)) => {
                (FailureKind::Unavailable, why.clone())
            }
            RunError::StreamEnded => return failure::stream_ended(),
            RunError::TooMuch(limit) => {
                (FailureKind::Unavailable, format!("The model generated more than {limit}."))
            }
            RunError::NoMemory => return failure::no_memory(),
            RunError::DifferentResult => (
                FailureKind::Internal,
                "The server was restarted, and code that it ran again had another result."
                    .to_owned(),
            ),
            RunError::DifferentCalls => (
                FailureKind::Internal,
                "The server was restarted, and the model then called other functions.".to_owned(),
            ),
            RunError::Unchecked(error) => (
                FailureKind::Unavailable,
                format!("The answer could not be compared with 'response_format': {error}."),
            ),
            RunError::InvalidAnswer(why) => (
                FailureKind::Internal,
                format!("The model's answer does not fit 'response_format': {why}."),
            ),
            RunError::NoFileSearchStore(name) => (
                FailureKind::NotFound,
                format!("The resource {name} was not found (or permission denied)."),
            ),
            RunError::Sandbox(error) => return error.into(),
            RunError::Store(error) => return error.into(),
        };
        Failure::new(kind, message)
    }
}

impl From<DifferentCalls> for RunError {
    fn from(DifferentCalls: DifferentCalls) -> RunError {
        RunError::DifferentCalls
    }
}
