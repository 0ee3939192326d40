//! Standbys of one kind: cells that are forked, jailed and waiting before anybody asks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use crate::cell::Cell;

/// A shelf that was long enough for so long may be a cell shorter.
const SHRINKS_AFTER: Duration = Duration::from_secs(30);

/// Where standbys wait. One side puts them in, the other takes them out, first come, first served.
#[derive(Debug)]
pub struct Shelf {
    cells: Mutex<VecDeque<Cell>>,
    /// A permit for each cell.
    filled: Semaphore,
    waiting: AtomicUsize,
    length: Mutex<Length>,
    /// Told when there may be need for more.
    taken: Notify,
}

/// How many standbys there should be.
#[derive(Debug, Clone, Copy)]
pub struct Length {
    pub least: usize,
    pub most: usize,
    now: usize,
    since: Option<Instant>,
}

impl Length {
    pub fn new(least: usize, most: usize) -> Length {
        Length { least, most: most.max(least), now: least, since: None }
    }

    /// Somebody had to wait.
    fn was_too_short(&mut self, at: Instant) {
        self.now = (self.now * 2).clamp(1, self.most.max(1));
        self.since = Some(at);
    }

    /// Nobody has had to wait for long.
    fn look(&mut self, at: Instant) -> usize {
        if self.now > self.least
            && self.since.is_none_or(|since| at.duration_since(since) >= SHRINKS_AFTER)
        {
            self.now -= 1;
            self.since = Some(at);
        }
        self.now
    }
}

impl Shelf {
    pub fn new(length: Length) -> Shelf {
        Shelf {
            cells: Mutex::default(),
            filled: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            length: Mutex::new(length),
            taken: Notify::new(),
        }
    }

    pub fn put(&self, cell: Cell) {
        lock(&self.cells).push_back(cell);
        self.filled.add_permits(1);
    }

    /// A cell that is there already.
    pub fn take_now(&self) -> Option<Cell> {
        loop {
            let Ok(permit) = self.filled.try_acquire() else {
                lock(&self.length).was_too_short(Instant::now());
                return None;
            };
            permit.forget();
            if let Some(cell) = self.next() {
                return Some(cell);
            }
        }
    }

    /// The next cell, however long it takes. Whoever gives up gives up the place in the queue.
    pub async fn take(&self) -> Cell {
        let _waiting = Waiting::new(self);
        loop {
            let permit = self.filled.acquire().await.expect("a shelf is never closed");
            permit.forget();
            if let Some(cell) = self.next() {
                return cell;
            }
        }
    }

    /// The one that has waited longest, unless it has died meanwhile, which is nobody's loss.
    fn next(&self) -> Option<Cell> {
        let cell = lock(&self.cells).pop_front();
        self.taken.notify_one();
        let alive = cell.filter(Cell::is_alive);
        if alive.is_none() {
            tracing::warn!("a standby had died");
        }
        alive
    }

    /// How many cells are missing, `coming` of them being made.
    pub fn lacks(&self, coming: usize) -> usize {
        let wanted = lock(&self.length).look(Instant::now());
        let waiting = self.waiting.load(Ordering::Relaxed);
        (wanted + waiting).saturating_sub(self.filled.available_permits() + coming)
    }

    /// Lets those go that are too many by now, the newest first.
    pub fn trim(&self) {
        let wanted = lock(&self.length).look(Instant::now());
        while self.filled.available_permits() > wanted
            && let Ok(permit) = self.filled.try_acquire()
        {
            permit.forget();
            drop(lock(&self.cells).pop_back());
        }
    }

    /// Whether somebody waits, or the next one would have to.
    pub fn is_urgent(&self) -> bool {
        self.filled.available_permits() == 0
    }

    /// Whether somebody waits.
    pub fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether it has as many as it is to have at least.
    pub fn is_full(&self) -> bool {
        self.filled.available_permits() >= lock(&self.length).least
    }

    /// Returns when one has been taken, or is waited for, since the last time.
    pub async fn taken(&self) {
        self.taken.notified().await;
    }
}

/// One that waits for a cell.
struct Waiting<'s>(&'s Shelf);

impl Waiting<'_> {
    fn new(shelf: &Shelf) -> Waiting<'_> {
        shelf.waiting.fetch_add(1, Ordering::Relaxed);
        shelf.taken.notify_one();
        Waiting(shelf)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_grows_when_somebody_had_to_wait_and_shrinks_when_nobody_had_to_for_long() {
        let mut length = Length::new(2, 7);
        let began = Instant::now();
        assert_eq!(length.look(began), 2);
        length.was_too_short(began);
        assert_eq!(length.look(began), 4);
        length.was_too_short(began);
        assert_eq!(length.look(began), 7, "no longer than there is room for");
        for (after, wanted) in [(0, 7), (1, 6), (1, 6), (2, 5), (9, 4), (10, 3), (11, 2), (12, 2)] {
            assert_eq!(length.look(began + SHRINKS_AFTER * after), wanted, "after {after}");
        }
    }

    #[test]
    fn the_least_may_be_more_than_there_is_room_for() {
        assert_eq!(Length::new(4, 1).most, 4);
    }
}
