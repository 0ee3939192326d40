//! How much of everything is measured.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Requests that take about a millisecond.
    pub fast: usize,
    /// Those that take tens of them.
    pub slow: usize,
    /// Those that take seconds.
    pub cold: usize,
    /// Of each the first ones, which find caches cold that no later one does, and are not counted.
    pub discarded: usize,
    pub bursts: usize,
    /// How long throughput is measured at each width.
    pub throughput: Duration,
    pub starts: usize,
    /// Rounds of scripted answers, and the requests of each.
    pub rounds: usize,
    pub scripted: usize,
    /// Whether what comes out is worth being kept.
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
