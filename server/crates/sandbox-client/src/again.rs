//! Retries after the warden has died.

use std::time::{Duration, Instant};

use super::SandboxError;
use super::connection::LOOK_AGAIN_AFTER;

/// How long a killed warden may take to die. Until then it accepts connections but does not serve
/// them.
const DEAD_WITHIN: Duration = Duration::from_secs(1);
/// Maximum number of consecutive retries.
const MAX_TRIES: u32 = 5;

/// Decides whether a cell's first code may be sent again. That is safe: a dying warden has not run
/// it, and a cell's partial work is lost with the cell, which cannot reach anything outside.
#[derive(Debug)]
pub struct Again {
    sent: Instant,
    left: u32,
}

impl Again {
    pub fn new() -> Again {
        Again { sent: Instant::now(), left: MAX_TRIES }
    }

    /// Whether to retry after this failure. If so, waits briefly first.
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
