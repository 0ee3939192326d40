//! Reports the state of the pool: what waits, and the zygotes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::ZygoteReport;

use crate::process::procfs;

/// The requests that wait for a cell, in the order in which they began to.
#[derive(Debug, Default)]
pub struct WaitingRequests(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    began: BTreeMap<u64, Instant>,
    next: u64,
}

/// A request that waits until this is dropped.
#[derive(Debug)]
pub struct WaitingRequest<'w> {
    all: &'w WaitingRequests,
    number: u64,
}

impl WaitingRequests {
    pub fn begin(&self) -> WaitingRequest<'_> {
        let mut waits = self.0.lock();
        let number = waits.next;
        waits.next += 1;
        waits.began.insert(number, Instant::now());
        WaitingRequest { all: self, number }
    }

    /// Their number, and how long the first one has waited.
    pub fn count(&self) -> (usize, Duration) {
        let waits = self.0.lock();
        let oldest = waits.began.values().next().map_or(Duration::ZERO, Instant::elapsed);
        (waits.began.len(), oldest)
    }
}

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        self.all.0.lock().began.remove(&self.number);
    }
}

/// The zygote that a kit's cells are forked from.
#[derive(Debug, Clone, Copy)]
pub struct ZygoteState {
    pub process: u32,
    pub since: Instant,
    pub forks: u32,
}

impl ZygoteState {
    pub fn report(&self) -> ZygoteReport {
        ZygoteReport {
            age_ms: u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX),
            forks: self.forks,
            memory_bytes: resident_bytes(self.process).unwrap_or(0),
        }
    }
}

/// The second number of `statm` counts pages.
fn resident_bytes(process: u32) -> Option<u64> {
    let text = procfs::read(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_wait_is_that_of_the_first_request_that_still_waits() {
        let waiting = WaitingRequests::default();
        assert_eq!(waiting.count(), (0, Duration::ZERO));
        let first = waiting.begin();
        let second = waiting.begin();
        let second_began = waiting.0.lock().began[&second.number];
        drop(first);
        let (count, oldest) = waiting.count();
        assert_eq!(count, 1);
        assert!(oldest <= second_began.elapsed());
        drop(second);
        assert_eq!(waiting.count().0, 0);
    }

    #[test]
    fn the_memory_of_a_process_is_read() {
        let own = resident_bytes(std::process::id()).expect("it runs");
        assert!(own > 100 << 10, "{own}");
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
