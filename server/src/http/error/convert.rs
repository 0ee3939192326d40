//! Conversions of the errors of each layer.

use super::{ApiError, Code};
use crate::engine::{EngineError, FetchError, FileError, SchemaError};
use crate::http::wire::WireError;
use backend::BackendError;
use domain::interaction::Failure;
use sandbox_client::SandboxError;
use sessions::SessionError;
use store::{StoreError, UploadError};

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        let error = ApiError::new(Code::of(failure.kind), failure.message);
        ApiError { retry_after: failure.retry_after, delivery: failure.delivery, ..error }
    }
}

impl From<WireError> for ApiError {
    fn from(error: WireError) -> ApiError {
        ApiError::invalid(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match (&error, error.unwritable()) {
            (StoreError::NoMemory, _) => ApiError::no_memory(),
            (_, Some(why)) => ApiError::new(Code::Unavailable, why),
            (_, None) => ApiError::internal(error),
        }
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> ApiError {
        let text = sentence(&error.to_string());
        let (code, ends_upload) = match error {
            UploadError::Unknown => (Code::NotFound, true),
            UploadError::TooLarge(_) => (Code::TooLarge, true),
            UploadError::WrongSize { .. } => (Code::InvalidRequest, true),
            UploadError::Taken | UploadError::Gap { .. } => (Code::InvalidRequest, false),
            UploadError::Full { .. } => (Code::ResourceExhausted, false),
            UploadError::Busy => (Code::Unavailable, false),
            UploadError::Store(error) => return error.into(),
            UploadError::Disk(_) => return ApiError::internal(error),
        };
        ApiError { ends_upload, ..ApiError::new(code, text) }
    }
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> ApiError {
        match error {
            FileError::Remote(uri) => ApiError::invalid(format!(
                "A file at '{uri}' cannot be fetched by this server. Upload it, or send it inline, as \
                 base64 'data'."
            )),
            FileError::Fetch(FetchError::NotAllowed(uri)) => ApiError::invalid(format!(
                "The file at '{uri}' is not fetched: the operator of this server has not allowed its \
                 address. Upload it, or send it inline, as base64 'data'."
            )),
            FileError::Missing(id) => ApiError::no_file(&id),
            FileError::Fetch(FetchError::NoMemory) => ApiError::no_memory(),
            FileError::Fetch(FetchError::Failed(..) | FetchError::Status { .. })
            | FileError::TooLarge { .. }
            | FileError::TooMuch
            | FileError::TooMany => ApiError::invalid(sentence(&error.to_string())),
            FileError::Store(error) => error.into(),
        }
    }
}

impl From<SandboxError> for ApiError {
    fn from(error: SandboxError) -> ApiError {
        let answer = ApiError::from(Failure::from(&error));
        match error {
            SandboxError::NoMemory | SandboxError::Invalid(_) => answer,
            _ => answer.because(error),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> ApiError {
        let text = sentence(&error.to_string());
        match error {
            SessionError::Unknown(_) | SessionError::NoFile(_) => {
                ApiError::new(Code::NotFound, text)
            }
            SessionError::Ended { .. } => ApiError::new(Code::Gone, text),
            SessionError::TooMany(_) | SessionError::Memory { .. } => {
                ApiError::new(Code::ResourceExhausted, text)
            }
            SessionError::Busy { .. } => ApiError::new(Code::Aborted, text),
            SessionError::Sandbox(error) => error.into(),
            SessionError::Panicked => ApiError::internal(error),
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> ApiError {
        match error {
            EngineError::UnknownPrevious(id) => ApiError::no_interaction(&id),
            EngineError::PreviousInProgress(id) => {
                ApiError::invalid(format!("Interaction interactions/{id} is still in progress."))
            }
            EngineError::UnknownCall(id) => ApiError::invalid(format!(
                "This conversation has no function call '{id}', to which the 'call_id' \
                 of a 'function_result' refers."
            )),
            EngineError::TooManyInBackground => {
                ApiError::new(Code::ResourceExhausted, sentence(&error.to_string()))
            }
            EngineError::ChainTooLong | EngineError::ConversationTooLarge => {
                ApiError::invalid(sentence(&error.to_string()))
            }
            EngineError::NoMemory => ApiError::no_memory(),
            EngineError::Schema(error @ SchemaError::Invalid(_)) => {
                ApiError::invalid(sentence(&error.to_string()))
            }
            EngineError::Schema(error @ SchemaError::Unchecked(_)) => {
                ApiError::new(Code::Unavailable, sentence(&error.to_string()))
            }
            EngineError::File(error) => error.into(),
            EngineError::Backend(BackendError::Refused(why)) => ApiError::invalid(why),
            EngineError::Backend(BackendError::Unavailable(why)) => {
                ApiError::new(Code::Unavailable, why)
            }
            EngineError::Backend(BackendError::Failed(failure)) => failure.into(),
            EngineError::NoEmbeddings(_) => {
                ApiError::new(Code::NotFound, sentence(&error.to_string()))
            }
            EngineError::Stopping => ApiError::stopping(),
            EngineError::Store(error) => error.into(),
        }
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).chain(['.']).collect()
}
