//! Asking again where a warden had just died.

use std::time::{Duration, Instant};

use super::SandboxError;
use super::connection::LOOK_AGAIN_AFTER;

/// How long a warden that is killed may take to die. Until then it accepts connections, and does nothing
/// for them.
const DEAD_WITHIN: Duration = Duration::from_secs(1);
/// Connections that may be lost in that way, one after the other.
const MAX_TRIES: u32 = 5;

/// How often the first code of a cell may be sent again. Nothing of it has been run where a warden was
/// dying already, and what a warden had begun in that time is gone with its cell, which reaches nothing
/// outside.
#[derive(Debug)]
pub struct Again {
    sent: Instant,
    left: u32,
}

impl Again {
    pub fn new() -> Again {
        Again { sent: Instant::now(), left: MAX_TRIES }
    }

    /// Whether to ask again after this failure. It waits a moment where that is so.
    pub async fn after(&mut self, error: &SandboxError) -> bool {
        let was_dying =
            matches!(error, SandboxError::Frame(_)) && self.sent.elapsed() < DEAD_WITHIN;
        let Some(left) = self.left.checked_sub(1).filter(|_| was_dying) else { return false };
        self.left = left;
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        self.sent = Instant::now();
        true
    }
}

impl Default for Again {
    fn default() -> Again {
        Again::new()
    }
}
