//! Standbys of one kit: cells that are forked and jailed in advance.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use crate::cell::Cell;

/// The target shrinks by one cell after this time without a wait.
const SHRINKS_AFTER: Duration = Duration::from_secs(30);

/// A queue of standbys: the replenisher adds them, requests take them in order.
#[derive(Debug)]
pub struct StandbyPool {
    cells: Mutex<Cells>,
    /// A permit for each cell.
    filled: Semaphore,
    waiting: AtomicUsize,
    target: Mutex<Target>,
    /// Notified when more standbys may be needed.
    taken: Notify,
}

/// The standbys, the oldest first.
#[derive(Debug, Default)]
struct Cells {
    queue: VecDeque<Cell>,
    /// How many of them, from the front, are to be replaced.
    outdated: usize,
}

/// Target number of standbys.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub least: usize,
    pub most: usize,
    now: usize,
    since: Option<Instant>,
}

impl Target {
    pub fn new(least: usize, most: usize) -> Target {
        Target { least, most: most.max(least), now: least, since: None }
    }

    /// A request had to wait.
    fn grow(&mut self, at: Instant) {
        self.now = (self.now * 2).clamp(1, self.most.max(1));
        self.since = Some(at);
    }

    /// The current target, reduced if no request has had to wait for long.
    fn current(&mut self, at: Instant) -> usize {
        if self.now > self.least
            && self.since.is_none_or(|since| at.duration_since(since) >= SHRINKS_AFTER)
        {
            self.now -= 1;
            self.since = Some(at);
        }
        self.now
    }
}

impl StandbyPool {
    pub fn new(target: Target) -> StandbyPool {
        StandbyPool {
            cells: Mutex::default(),
            filled: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            target: Mutex::new(target),
            taken: Notify::new(),
        }
    }

    /// Adds a cell, in place of an outdated one if there is one.
    pub fn put(&self, cell: Cell) {
        let mut cells = self.cells.lock();
        cells.queue.push_back(cell);
        self.filled.add_permits(1);
        if cells.outdated > 0
            && let Ok(permit) = self.filled.try_acquire()
        {
            permit.forget();
            let outdated = cells.pop();
            drop(cells); // ending a cell takes a while
            drop(outdated);
        }
    }

    /// Has all standbys replaced, one by one, because new ones are faster.
    pub fn renew(&self) {
        let mut cells = self.cells.lock();
        cells.outdated = cells.queue.len();
    }

    /// A standby that is ready.
    pub fn take_now(&self) -> Option<Cell> {
        loop {
            let Ok(permit) = self.filled.try_acquire() else {
                self.target.lock().grow(Instant::now());
                return None;
            };
            permit.forget();
            if let Some(cell) = self.next() {
                return Some(cell);
            }
        }
    }

    /// Waits for the next standby. Cancelling gives up the position in the queue.
    pub async fn take(&self) -> Cell {
        let _waiting = Waiting::new(self);
        loop {
            let permit = self.filled.acquire().await.expect("the semaphore is never closed");
            permit.forget();
            if let Some(cell) = self.next() {
                return cell;
            }
        }
    }

    /// The oldest standby, unless it has died.
    fn next(&self) -> Option<Cell> {
        let cell = self.cells.lock().pop();
        self.taken.notify_one();
        let alive = cell.filter(Cell::is_alive);
        if alive.is_none() {
            tracing::warn!("standby died");
        }
        alive
    }

    /// How many more cells to make, if `coming` are being made.
    pub fn missing(&self, coming: usize) -> usize {
        let wanted = self.target.lock().current(Instant::now());
        let waiting = self.waiting.load(Ordering::Relaxed);
        let current = self.filled.available_permits().saturating_sub(self.cells.lock().outdated);
        (wanted + waiting).saturating_sub(current + coming)
    }

    /// Ends surplus standbys, the newest first.
    pub fn trim(&self) {
        let wanted = self.target.lock().current(Instant::now());
        while self.filled.available_permits() > wanted
            && let Ok(permit) = self.filled.try_acquire()
        {
            permit.forget();
            let surplus = self.cells.lock().pop_newest();
            drop(surplus);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.filled.available_permits()
    }

    /// How many are kept now.
    pub fn target(&self) -> usize {
        self.target.lock().now
    }

    /// Whether a request waits, or the next one would have to.
    pub fn is_urgent(&self) -> bool {
        self.filled.available_permits() == 0
    }

    /// Whether a request waits.
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether it has its minimum number of standbys.
    pub fn is_full(&self) -> bool {
        self.filled.available_permits() >= self.target.lock().least
    }

    /// Returns when a standby has been taken or requested since the last call.
    pub async fn taken(&self) {
        self.taken.notified().await;
    }
}

/// A request that waits for a cell.
struct Waiting<'s>(&'s StandbyPool);

impl Waiting<'_> {
    fn new(standbys: &StandbyPool) -> Waiting<'_> {
        standbys.waiting.fetch_add(1, Ordering::Relaxed);
        standbys.taken.notify_one();
        Waiting(standbys)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cells {
    fn pop(&mut self) -> Option<Cell> {
        self.outdated = self.outdated.saturating_sub(1);
        self.queue.pop_front()
    }

    fn pop_newest(&mut self) -> Option<Cell> {
        let cell = self.queue.pop_back();
        self.outdated = self.outdated.min(self.queue.len());
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_grows_after_a_wait_and_shrinks_after_a_time_without_one() {
        let mut target = Target::new(2, 7);
        let began = Instant::now();
        assert_eq!(target.current(began), 2);
        target.grow(began);
        assert_eq!(target.current(began), 4);
        target.grow(began);
        assert_eq!(target.current(began), 7, "at most the maximum");
        for (after, wanted) in [(0, 7), (1, 6), (1, 6), (2, 5), (9, 4), (10, 3), (11, 2), (12, 2)] {
            assert_eq!(target.current(began + SHRINKS_AFTER * after), wanted, "after {after}");
        }
    }

    #[test]
    fn the_minimum_may_exceed_the_maximum() {
        assert_eq!(Target::new(4, 1).most, 4);
    }
}
