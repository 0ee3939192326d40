//! Whether the wall clock is plausible. Expiry depends on it, and a clock that is wrong for a minute
//! must not delete data with a retention of weeks.
//!
//! ```text
//! Trusted ──clock and time since boot diverge──▶ Suspect ──no jump for SETTLES_AFTER──▶ Trusted
//! ```
//!
//! While the clock is suspect, nothing expires. The last trusted time is stored, so that a wrong clock
//! is detected after a restart too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

pub const FILE: &str = "clock";

/// Maximum divergence of the clock from the time since boot between two checks.
const MAX_STEP: Duration = Duration::from_secs(60 * 60);
/// Maximum time since the stored time at a start; a longer one counts as a jump.
const MAX_DOWNTIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a clock must run without a jump before it is trusted again.
const SETTLES_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    /// The last check: the wall clock and the time since boot.
    last: Option<(Timestamp, Duration)>,
    /// Time since boot at which the clock is trusted again.
    suspect_until: Option<Duration>,
}

impl Clock {
    pub fn open(folder: &Path) -> Clock {
        Clock { file: folder.join(FILE), last: None, suspect_until: None }
    }

    /// Whether expired data may be deleted now.
    pub fn is_trusted(&mut self, now: Timestamp) -> bool {
        self.check(now, since_boot())
    }

    fn check(&mut self, now: Timestamp, boot: Duration) -> bool {
        let has_jumped = match self.last {
            Some((then, booted)) => {
                let by_boot = boot.saturating_sub(booted);
                distance(then.checked_add(by_boot).unwrap_or(Timestamp::MAX), now) > MAX_STEP
            }
            None => self.stored().is_some_and(|stored| {
                now < stored && distance(stored, now) > MAX_STEP
                    || distance(stored, now) > MAX_DOWNTIME
            }),
        };
        self.last = Some((now, boot));
        if has_jumped {
            self.suspect_until = Some(boot + SETTLES_AFTER);
            let hours = SETTLES_AFTER.as_secs() / 3600;
            tracing::warn!(clock = %now, hours, "clock jumped, nothing expires for now");
        }
        if self.suspect_until.is_some_and(|until| boot < until) {
            return false;
        }
        self.suspect_until = None;
        self.store(now);
        true
    }

    /// The last trusted time, of this server or an earlier one.
    fn stored(&self) -> Option<Timestamp> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        Timestamp::from_second(text.trim().parse().ok()?).ok()
    }

    fn store(&self, now: Timestamp) {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|file| {
            std::fs::write(file.path(), now.as_second().to_string())?;
            Ok(file.persist(&self.file)?)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "could not store the time");
        }
    }
}

fn distance(one: Timestamp, other: Timestamp) -> Duration {
    one.duration_since(other).unsigned_abs()
}

/// Includes the time that the machine sleeps, and does not jump.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const DAY: u64 = 24 * 60 * MINUTE;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + i64::try_from(second).expect("it is small"))
            .expect("it is a time")
    }

    fn boot(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_clock_without_jumps_is_trusted() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut clock = Clock::open(folder.path());
        for minute in 0..100 {
            assert!(clock.check(at(minute * MINUTE), boot(minute * MINUTE)), "minute {minute}");
        }
        // The machine slept for a week, and the time since boot includes that.
        assert!(clock.check(at(7 * DAY), boot(7 * DAY)));
        assert!(clock.check(at(7 * DAY + 600), boot(7 * DAY)), "ten minutes are a correction");
    }

    #[test]
    fn a_jump_forward_for_a_minute_deletes_nothing() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut clock = Clock::open(folder.path());
        assert!(clock.check(at(0), boot(0)));
        assert!(!clock.check(at(60 * DAY), boot(MINUTE)));
        assert!(!clock.check(at(2 * MINUTE), boot(2 * MINUTE)), "and back");
        let settled = 2 * MINUTE + SETTLES_AFTER.as_secs();
        assert!(!clock.check(at(settled - 1), boot(settled - 1)));
        assert!(clock.check(at(settled), boot(settled)));
    }

    #[test]
    fn a_jump_back_deletes_nothing() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut clock = Clock::open(folder.path());
        assert!(clock.check(at(60 * DAY), boot(0)));
        assert!(!clock.check(at(0), boot(MINUTE)));
        assert!(!clock.check(at(60 * DAY), boot(2 * MINUTE)), "and forward again");
    }

    #[test]
    fn a_wrong_clock_is_detected_at_the_start() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        assert!(Clock::open(folder.path()).check(at(DAY), boot(0)));
        for (now, wanted) in [
            (at(DAY + 10 * MINUTE), true),
            (at(60 * DAY), false),
            (at(0), false),
            (at(2 * DAY), true),
        ] {
            assert_eq!(Clock::open(folder.path()).check(now, boot(5)), wanted, "{now}");
        }
    }
}
