//! Memory of a call: a share of the budget for requests, held until the answer has been sent.

use axum::http::request::Parts;
use rmcp::RoleServer;
use rmcp::service::RequestContext;

use super::ToolError;
use resources::growing::GrowingShare;

/// Memory of a result compared with its bytes: also its base64, and the message around it.
const COPIES_OF_RESULT: usize = 3;
/// Smaller results are not counted, because the number of concurrent requests is limited.
const SMALL_BYTES: usize = 16 << 10;

/// The memory of one call. A client on standard input and output has no limit: it is the only one.
pub(super) struct CallMemory<'c>(Option<&'c GrowingShare>);

impl<'c> CallMemory<'c> {
    pub(super) fn of(context: &'c RequestContext<RoleServer>) -> CallMemory<'c> {
        let parts = context.extensions.get::<Parts>();
        CallMemory(parts.and_then(|parts| parts.extensions.get()))
    }

    /// Takes memory for a result of this size.
    pub(super) fn take_for(&self, bytes: usize) -> Result<(), ToolError> {
        match self.0 {
            Some(memory) if bytes > SMALL_BYTES => {
                memory.take(bytes * COPIES_OF_RESULT).ok_or(ToolError::NoMemory)
            }
            _ => Ok(()),
        }
    }
}
