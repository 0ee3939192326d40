//! The log of one interaction: appending to it, and following it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use jiff::Timestamp;
use tokio::sync::watch;

use super::blobs::BlobStore;
use super::writer::{Append, Writer, Written};
use super::{Head, Inner, Persistence, StoreError, record};
use crate::interaction::{Event, InteractionSettings, Projection, Tally};

/// An event and when it happened, to the millisecond.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub at: Timestamp,
    pub event: Event,
}

/// All that has happened to one interaction. Written by one, read by many.
#[derive(Debug)]
pub struct Log {
    head: Head,
    /// What its first event will say.
    settings: InteractionSettings,
    persistence: Persistence,
    created: Timestamp,
    /// Absent where nothing is written: a forgotten interaction, and one that has ended.
    disk: Option<Disk>,
    entries: Mutex<Vec<Entry>>,
    /// Whether the interaction itself is written down, or on its way.
    begun: AtomicBool,
    progress: watch::Sender<Progress>,
    /// Why it closed without its last event.
    failed: OnceLock<StoreError>,
}

/// What a log needs to reach the disk.
#[derive(Debug)]
pub struct Disk {
    /// Stands for the interaction in the tables.
    pub number: i64,
    pub writer: Writer,
    pub blobs: BlobStore,
    pub(super) growing: Weak<Inner>,
    /// How many rows of events there are. Only the writer's task counts.
    pub rows: AtomicUsize,
    /// Set by the writer's task when the rows have been deleted: it writes no more of them.
    pub deleted: AtomicBool,
}

/// How far a log has come.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    length: usize,
    /// Nothing follows: the last event is there, or the disk has failed.
    closed: bool,
    /// Nothing follows before another server goes on with it.
    left: bool,
}

impl Log {
    pub fn ephemeral(head: Head, created: Timestamp) -> Log {
        Log::new(head, Persistence::Ephemeral, created, None)
    }

    pub fn stored(head: Head, created: Timestamp, disk: Disk) -> Log {
        Log::new(head, Persistence::Stored, created, Some(disk))
    }

    /// A log from the disk that goes on.
    pub fn unfinished(head: Head, created: Timestamp, disk: Disk, entries: Vec<Entry>) -> Log {
        let log = Log::stored(head, created, disk);
        log.begun.store(true, Ordering::Relaxed);
        log.publish(entries);
        log
    }

    /// A log from the disk, to which nothing will be added.
    pub fn ended(head: Head, created: Timestamp, entries: Vec<Entry>) -> Log {
        let log = Log::new(head, Persistence::Stored, created, None);
        log.publish(entries);
        log.close();
        log
    }

    fn new(head: Head, persistence: Persistence, created: Timestamp, disk: Option<Disk>) -> Log {
        let (progress, _) = watch::channel(Progress::default());
        let (entries, begun) = (Mutex::default(), AtomicBool::new(false));
        let (settings, failed) = (InteractionSettings::default(), OnceLock::new());
        Log { head, settings, persistence, created, disk, entries, begun, progress, failed }
    }

    /// Replaces the default settings.
    pub fn with_settings(mut self, settings: InteractionSettings) -> Log {
        self.settings = settings;
        self
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn persistence(&self) -> Persistence {
        self.persistence
    }

    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When the newest event happened.
    pub fn updated(&self) -> Timestamp {
        self.entries().last().map_or(self.created, |entry| entry.at)
    }

    /// Adds events in one piece: a reader sees all of them or none, and a stored interaction's only
    /// once they are on the disk. With the first ones goes the interaction itself, and the event that
    /// says that it exists. Dropping the future does not take back what is on its way.
    pub async fn append(self: &Arc<Self>, events: Vec<Event>) -> Result<(), StoreError> {
        match self.send(events).await? {
            Some(written) => written.await.unwrap_or(Err(StoreError::Closed)),
            None => Ok(()),
        }
    }

    /// The same, without waiting for the disk: what is appended later is not there before this is. A
    /// disk that fails closes the log.
    pub async fn append_soon(self: &Arc<Self>, events: Vec<Event>) -> Result<(), StoreError> {
        self.send(events).await.map(drop)
    }

    /// Whether anything has been appended.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits until the interaction exists.
    pub async fn exists(&self) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let first = progress.wait_for(|progress| progress.closed || progress.length > 0).await;
        // An error would mean that the sender is gone, and `self` has it.
        if first.is_ok_and(|progress| progress.length > 0) {
            Ok(())
        } else {
            Err(self.failure().unwrap_or(StoreError::NotBegun))
        }
    }

    /// Gives events to the writer, and what will be said when they are on the disk. Where nothing is
    /// written they are there at once.
    async fn send(self: &Arc<Self>, events: Vec<Event>) -> Result<Option<Written>, StoreError> {
        let at = now();
        let is_first = !self.has_begun();
        let created = is_first.then_some(Event::Created(self.settings));
        let entry = |event| Entry { at, event };
        let entries: Vec<_> = created.into_iter().chain(events).map(entry).collect();
        let Some(disk) = &self.disk else {
            self.begun.store(true, Ordering::Relaxed);
            self.publish(entries);
            return Ok(None);
        };
        let mut blobs = record::Blobs::default();
        let record = record::of_events(entries.iter().map(|entry| &entry.event), &mut blobs);
        let input = is_first.then(|| record::of_steps(&self.head.input, &mut blobs));
        let mut put = disk.blobs.put(&blobs).await;
        if matches!(put, Err(StoreError::Full)) {
            disk.writer.reclaim().await;
            put = disk.blobs.put(&blobs).await;
        }
        let pin = put.inspect_err(|error| {
            // Who waits for it to exist would wait for ever.
            if is_first {
                self.fail(error);
            }
        })?;
        let append =
            Append { log: Arc::clone(self), input, entries, record, blobs: blobs.addresses(), pin };
        let written = disk.writer.append(append).await?;
        // Not before: whoever drops this while the writer has no place for it has begun nothing.
        self.begun.store(true, Ordering::Relaxed);
        Ok(Some(written))
    }

    /// What the events say so far.
    pub fn projection(&self) -> Projection {
        Projection::new(self.entries().iter().map(|entry| &entry.event))
    }

    /// What was settled at the beginning.
    pub fn settings(&self) -> InteractionSettings {
        match self.entries().first().map(|entry| &entry.event) {
            Some(Event::Created(settings)) => *settings,
            _ => self.settings,
        }
    }

    /// What the first so many entries come to.
    pub fn tally(&self, entries: usize) -> Tally {
        Tally::new(self.entries().iter().take(entries).map(|entry| &entry.event))
    }

    /// The entries from this number on that are there already.
    pub fn entries_from(&self, number: usize) -> Vec<Entry> {
        self.entries().get(number..).unwrap_or_default().to_vec()
    }

    pub fn entry(&self, number: usize) -> Option<Entry> {
        self.entries().get(number).cloned()
    }

    /// Every entry from this number on, as it comes, to the last one.
    pub fn follow(self: &Arc<Self>, number: usize) -> Follower {
        Follower {
            log: Arc::clone(self),
            progress: self.progress.subscribe(),
            next: number,
            ready: Vec::new().into_iter(),
        }
    }

    /// Waits for the last event. The log may also close without one, where the disk has failed.
    pub async fn closed(&self) {
        // An error would mean that the sender is gone, and `self` has it.
        let _ = self.progress.subscribe().wait_for(|progress| progress.closed).await;
    }

    pub(super) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Shows entries to the followers.
    pub(super) fn publish(&self, new: Vec<Entry>) {
        let mut entries = self.entries();
        let ends = new.iter().any(|entry| is_last(&entry.event));
        entries.extend(new);
        let length = entries.len();
        drop(entries);
        self.progress.send_modify(|progress| {
            progress.length = length;
            progress.closed |= ends;
        });
    }

    /// Leaves what comes next to the next server.
    pub fn leave(&self) {
        self.progress.send_modify(|progress| {
            progress.left = true;
            progress.closed = true;
        });
    }

    pub fn is_left(&self) -> bool {
        self.progress.borrow().left
    }

    /// Nothing will follow, for this reason.
    pub(super) fn fail(&self, why: &StoreError) {
        // The first reason is the one that counts.
        let _ = self.failed.set(why.clone());
        self.close();
    }

    /// Why it closed without its last event, where that is known.
    pub fn failure(&self) -> Option<StoreError> {
        self.failed.get().cloned()
    }

    /// Nothing will follow.
    pub(super) fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(store) = self.disk.as_ref().and_then(|disk| disk.growing.upgrade()) {
            store.gone(&self.head.id);
        }
    }
}

/// Reads a log at its own pace.
#[derive(Debug)]
pub struct Follower {
    log: Arc<Log>,
    progress: watch::Receiver<Progress>,
    next: usize,
    ready: std::vec::IntoIter<Entry>,
}

impl Follower {
    /// The next entry and its number; nothing after the last one.
    pub async fn next(&mut self) -> Option<(usize, Entry)> {
        loop {
            if let Some(entry) = self.ready.next() {
                self.next += 1;
                return Some((self.next - 1, entry));
            }
            let next = self.next;
            let progress = *self
                .progress
                .wait_for(|progress| progress.closed || progress.length > next)
                .await
                .ok()?;
            if progress.length <= next {
                return None;
            }
            self.ready = self.log.entries_from(next).into_iter();
        }
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }
}

/// Whether nothing follows an event.
pub fn is_last(event: &Event) -> bool {
    matches!(event, Event::Finished { .. } | Event::Failed(_))
}

/// The time as the disk will have it.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
