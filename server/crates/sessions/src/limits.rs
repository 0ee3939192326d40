//! Limits of sessions.

use std::time::Duration;

/// Limits of sessions.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Maximum number of sessions of one owner.
    pub sessions_of_owner: usize,
    /// Memory that the sessions of one owner may hold between runs.
    pub memory_bytes: u64,
    /// The idle time after which a session ends, unless its client chooses another.
    pub idle_timeout: Duration,
    /// Maximum age of a session.
    pub max_age: Duration,
}
