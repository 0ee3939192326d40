//! The virtual time of day.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Start time of every cell: 2026-01-01T00:00:00Z, in seconds.
const ORIGIN_S: i64 = 1_767_225_600;
const NOT_YET: i64 = i64::MIN;

/// Starts at the same instant in every cell, with the first reading. Each reading is a microsecond
/// later than the one before, and whole seconds pass in real time: so a short run reads the same times
/// in every cell, and code that polls the clock terminates.
#[derive(Debug)]
pub struct VirtualClock {
    /// Monotonic time of the first reading, in nanoseconds.
    began: AtomicI64,
    readings: AtomicU64,
}

/// Seconds and microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub microseconds: i64,
}

impl VirtualClock {
    pub const fn new() -> VirtualClock {
        VirtualClock { began: AtomicI64::new(NOT_YET), readings: AtomicU64::new(0) }
    }

    /// Resets the clock, so that the next reading is the first.
    pub fn begin(&self) {
        self.began.store(NOT_YET, Relaxed);
        self.readings.store(0, Relaxed);
    }

    /// Reads the clock. `monotonic_ns` is a monotonic clock of the machine.
    pub fn read(&self, monotonic_ns: i64) -> Time {
        self.at(monotonic_ns, self.readings.fetch_add(1, Relaxed))
    }

    /// Reads the clock without counting as a reading.
    pub fn peek(&self, monotonic_ns: i64) -> Time {
        self.at(monotonic_ns, self.readings.load(Relaxed))
    }

    fn at(&self, monotonic_ns: i64, reading: u64) -> Time {
        let first = self.began.compare_exchange(NOT_YET, monotonic_ns, Relaxed, Relaxed);
        let began = first.map_or_else(|began| began, |_| monotonic_ns);
        let seconds = (monotonic_ns - began) / 1_000_000_000;
        let microseconds = i64::try_from(reading).unwrap_or(i64::MAX);
        Time {
            seconds: ORIGIN_S + seconds + microseconds / 1_000_000,
            microseconds: microseconds % 1_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_read_the_same_times_regardless_of_their_start() {
        let times = |start: i64| {
            let clock = VirtualClock::new();
            clock.begin();
            // Some milliseconds apart, with different offsets.
            [0, 3, 40, 999, 1001].map(|ms| clock.read(start + ms * 1_000_000 + start % 99))
        };
        assert_eq!(times(0), times(123_456_789_000));
        let at = |seconds, microseconds| Time { seconds: ORIGIN_S + seconds, microseconds };
        assert_eq!(times(7), [at(0, 0), at(0, 1), at(0, 2), at(0, 3), at(1, 4)]);
    }

    #[test]
    fn time_is_monotonic_and_a_polling_loop_terminates() {
        let clock = VirtualClock::new();
        let mut last = clock.peek(0);
        for reading in 0..3_000_000 {
            let time = clock.read(reading * 1000);
            assert!(time >= last, "{time:?} after {last:?}");
            last = time;
        }
        assert!(last.seconds >= ORIGIN_S + 3, "{last:?}");
        clock.begin();
        assert_eq!(clock.read(1 << 60), Time { seconds: ORIGIN_S, microseconds: 0 });
    }
}
