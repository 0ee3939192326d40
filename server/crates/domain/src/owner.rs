//! The tenant that data belongs to.

use std::sync::Arc;

/// A tenant: all clients with the same API key. The default owner is the only tenant of a server
/// without keys, and of one whose keys share everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// `name` identifies the owner and is stored: a hash of the key, never the key itself.
    pub fn named(name: String) -> Owner {
        Owner(name.into())
    }

    pub fn name(&self) -> &str {
        &self.0
    }
}
