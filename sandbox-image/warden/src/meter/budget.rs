//! Time limit of one sample of a cell. The cell decides how much there is to read.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// CPU time of one sample. 63 processes with the science libraries and mapped files take a third of it.
const LOOK_CPU: Duration = Duration::from_millis(250);
/// Wall-clock time of one sample, for a busy machine.
const LOOK_WALL: Duration = Duration::from_secs(2);

/// The remaining time. Valid only in the thread that created it.
#[derive(Debug)]
pub struct TimeBudget {
    cpu_until: Duration,
    until: Instant,
}

impl TimeBudget {
    /// The budget of one sample in this thread.
    pub fn new() -> TimeBudget {
        TimeBudget::of(LOOK_CPU, LOOK_WALL)
    }

    pub fn of(cpu: Duration, wall: Duration) -> TimeBudget {
        TimeBudget { cpu_until: thread_cpu() + cpu, until: Instant::now() + wall }
    }

    pub fn is_spent(&self) -> bool {
        Instant::now() >= self.until || thread_cpu() >= self.cpu_until
    }
}

/// CPU time of this thread.
pub fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_clock_spends_the_budget() {
        let long = Duration::from_secs(600);
        assert!(!TimeBudget::of(long, long).is_spent());
        assert!(TimeBudget::of(long, Duration::ZERO).is_spent());
        let budget = TimeBudget::of(Duration::from_millis(5), long);
        let began = thread_cpu();
        while thread_cpu() - began < Duration::from_millis(6) {}
        assert!(budget.is_spent());
    }
}
