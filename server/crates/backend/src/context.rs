//! The request that a prompt belongs to. No model sees it.

use http::Extensions;

use domain::namespace::Namespace;
use journal::JournalHandle;

/// What the layers around a model know of a request.
#[derive(Debug, Clone, Default)]
pub struct RequestContext {
    /// The namespace whose scenarios are tried first.
    pub namespace: Namespace,
    /// The request's entry in the journal.
    pub journal: JournalHandle,
    /// Values of single layers, such as the session of a recording.
    pub extensions: Extensions,
}
