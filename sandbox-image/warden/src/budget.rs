//! How long one look at a cell may take, where the cell decides how much there is to read.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Processor time of one look. 63 processes with the science libraries and files that they have mapped
/// take a third of it.
const LOOK_CPU: Duration = Duration::from_millis(250);
/// The same by the clock, on a machine that has other things to do.
const LOOK_WALL: Duration = Duration::from_secs(2);

/// What is left of it. It belongs to the thread that has made it.
#[derive(Debug)]
pub struct Budget {
    cpu_until: Duration,
    until: Instant,
}

impl Budget {
    /// One look's, of this thread.
    pub fn new() -> Budget {
        Budget::of(LOOK_CPU, LOOK_WALL)
    }

    pub fn of(cpu: Duration, wall: Duration) -> Budget {
        Budget { cpu_until: thread_cpu() + cpu, until: Instant::now() + wall }
    }

    pub fn is_spent(&self) -> bool {
        Instant::now() >= self.until || thread_cpu() >= self.cpu_until
    }
}

/// Processor time of this thread.
pub fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_end_it() {
        let long = Duration::from_secs(600);
        assert!(!Budget::of(long, long).is_spent());
        assert!(Budget::of(long, Duration::ZERO).is_spent());
        let budget = Budget::of(Duration::from_millis(5), long);
        let began = thread_cpu();
        while thread_cpu() - began < Duration::from_millis(6) {}
        assert!(budget.is_spent());
    }
}
