//! Whether the clock can be believed. What is too old goes by the wall clock, and one that is wrong for
//! a minute must not delete what was to be kept for weeks.
//!
//! ```text
//! Settled ──clock and time since boot part──▶ Doubtful ──in step for SETTLES_AFTER──▶ Settled
//! ```
//!
//! While the clock is in doubt nothing expires. The last time that was believed is written down, so
//! that a restart with a wrong clock is noticed too.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

pub const FILE: &str = "clock";

/// By how much the clock may part from the time since boot between two looks.
const MAX_STEP: Duration = Duration::from_secs(60 * 60);
/// How long a server may have been down without a doubt.
const MAX_DOWNTIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a clock that has jumped has to be in step before it is believed.
const SETTLES_AFTER: Duration = Duration::from_secs(6 * 60 * 60);

/// Looks at the clock from time to time.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    /// The last look: the time by the clock and since boot.
    last: Option<(Timestamp, Duration)>,
    /// Time since boot at which the clock is believed again.
    doubtful_until: Option<Duration>,
}

impl Clock {
    pub fn open(folder: &Path) -> Clock {
        Clock { file: folder.join(FILE), last: None, doubtful_until: None }
    }

    /// Whether what is too old by the clock may be deleted now.
    pub fn is_believed(&mut self, now: Timestamp) -> bool {
        self.look(now, since_boot())
    }

    fn look(&mut self, now: Timestamp, boot: Duration) -> bool {
        let has_jumped = match self.last {
            Some((then, booted)) => {
                let by_boot = boot.saturating_sub(booted);
                parted(then.checked_add(by_boot).unwrap_or(Timestamp::MAX), now) > MAX_STEP
            }
            None => self.written().is_some_and(|written| {
                now < written && parted(written, now) > MAX_STEP
                    || parted(written, now) > MAX_DOWNTIME
            }),
        };
        self.last = Some((now, boot));
        if has_jumped {
            self.doubtful_until = Some(boot + SETTLES_AFTER);
            let hours = SETTLES_AFTER.as_secs() / 3600;
            tracing::warn!(clock = %now, hours, "clock jumped, nothing expires for now");
        }
        if self.doubtful_until.is_some_and(|until| boot < until) {
            return false;
        }
        self.doubtful_until = None;
        self.write(now);
        true
    }

    /// The last time that was believed, by this server or the one before.
    fn written(&self) -> Option<Timestamp> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        Timestamp::from_second(text.trim().parse().ok()?).ok()
    }

    fn write(&self, now: Timestamp) {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|file| {
            std::fs::write(file.path(), now.as_second().to_string())?;
            Ok(file.persist(&self.file)?)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "could not write down the time");
        }
    }
}

/// How far two times are from each other.
fn parted(one: Timestamp, other: Timestamp) -> Duration {
    one.duration_since(other).unsigned_abs()
}

/// Goes on while the machine sleeps, and does not jump.
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
    fn a_clock_that_goes_on_is_believed() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut clock = Clock::open(folder.path());
        for minute in 0..100 {
            assert!(clock.look(at(minute * MINUTE), boot(minute * MINUTE)), "minute {minute}");
        }
        // The machine slept for a week: the time since boot knows.
        assert!(clock.look(at(7 * DAY), boot(7 * DAY)));
        assert!(clock.look(at(7 * DAY + 600), boot(7 * DAY)), "ten minutes are a correction");
    }

    #[test]
    fn a_jump_forward_for_a_minute_deletes_nothing() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut clock = Clock::open(folder.path());
        assert!(clock.look(at(0), boot(0)));
        assert!(!clock.look(at(60 * DAY), boot(MINUTE)));
        assert!(!clock.look(at(2 * MINUTE), boot(2 * MINUTE)), "and back");
        let settled = 2 * MINUTE + SETTLES_AFTER.as_secs();
        assert!(!clock.look(at(settled - 1), boot(settled - 1)));
        assert!(clock.look(at(settled), boot(settled)));
    }

    #[test]
    fn a_jump_back_deletes_nothing_either() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut clock = Clock::open(folder.path());
        assert!(clock.look(at(60 * DAY), boot(0)));
        assert!(!clock.look(at(0), boot(MINUTE)));
        assert!(!clock.look(at(60 * DAY), boot(2 * MINUTE)), "and forward again");
    }

    #[test]
    fn a_server_that_starts_with_a_wrong_clock_notices() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        assert!(Clock::open(folder.path()).look(at(DAY), boot(0)));
        for (now, wanted) in [
            (at(DAY + 10 * MINUTE), true),
            (at(60 * DAY), false),
            (at(0), false),
            (at(2 * DAY), true),
        ] {
            assert_eq!(Clock::open(folder.path()).look(now, boot(5)), wanted, "{now}");
        }
    }
}
