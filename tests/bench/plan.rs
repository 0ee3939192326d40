//! The number of repetitions of each measurement.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Requests that take about a millisecond.
    pub fast: usize,
    /// Requests that take tens of milliseconds.
    pub slow: usize,
    /// Requests that take seconds.
    pub cold: usize,
    /// The first requests of each series, which are not counted because caches are cold.
    pub discarded: usize,
    pub bursts: usize,
    /// Time for which throughput is measured at each number of clients.
    pub throughput: Duration,
    pub starts: usize,
    /// Rounds of scripted answers, and the requests of each.
    pub rounds: usize,
    pub scripted: usize,
    /// Whether the results are written to BENCH.md.
    pub is_whole: bool,
}

impl Plan {
    /// Seven minutes.
    pub const WHOLE: Plan = Plan {
        fast: 300,
        slow: 60,
        cold: 5,
        discarded: 20,
        bursts: 3,
        throughput: Duration::from_secs(5),
        starts: 3,
        rounds: 10,
        scripted: 5000,
        is_whole: true,
    };

    pub const FEW: Plan = Plan {
        fast: 10,
        slow: 3,
        cold: 1,
        discarded: 2,
        bursts: 1,
        throughput: Duration::from_millis(500),
        starts: 1,
        rounds: 1,
        scripted: 500,
        is_whole: false,
    };
}
