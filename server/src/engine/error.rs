//! Why an interaction did not begin. In all of these cases nothing was stored and no code ran.

use super::input::files::FileError;
use super::response_format::SchemaError;
use super::{MAX_BACKGROUND, MAX_CHAIN, MAX_CONVERSATION_BYTES};
use backend::BackendError;
use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("interaction {0} is not known")]
    UnknownPrevious(String),
    #[error("interaction {0} is still in progress")]
    PreviousInProgress(String),
    #[error("{MAX_BACKGROUND} interactions of one key run in the background already")]
    TooManyInBackground,
    #[error("the chain of interactions is longer than {MAX_CHAIN}")]
    ChainTooLong,
    #[error(
        "the earlier interactions of this conversation need more than {} MiB of memory, or more than \
         one conversation may have here",
        MAX_CONVERSATION_BYTES >> 20
    )]
    ConversationTooLarge,
    /// The memory budget is exhausted.
    #[error("no memory left for the conversation")]
    NoMemory,
    #[error("function result refers to unknown call {0}")]
    UnknownCall(String),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("the model {0} has no embeddings")]
    NoEmbeddings(String),
    #[error("the server is stopping")]
    Stopping,
    #[error(transparent)]
    Store(#[from] StoreError),
}
