//! What clients read about a failure of the store.

use domain::failure::{INTERNAL, no_memory};
use domain::interaction::{Failure, FailureKind};

use crate::StoreError;

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Failure {
        match (error, error.unwritable()) {
            (StoreError::NoMemory, _) => no_memory(),
            (_, Some(why)) => Failure::new(FailureKind::Unavailable, why),
            (_, None) => Failure::new(FailureKind::Internal, INTERNAL),
        }
    }
}
