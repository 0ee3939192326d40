//! The log of one interaction: appending events, and following them.

pub mod overview;
mod shared;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::blobs::BlobStore;
use super::writer::{Append, RowMemory, Writer, Written};
use super::{Head, Inner, Persistence, StoreError, record};
use domain::interaction::{Event, InteractionSettings, Projection, UsageEstimate};
use parse::json;
use resources::budget::Share;

pub use shared::SharedLogs;

/// Estimates of the memory that a stored interaction needs once it is read: it has events, steps and the
/// conversation of the next one.
const TEXT_COPIES: usize = 3;
const BYTES_PER_VALUE: usize = 300;
const BYTES_PER_EVENT: usize = 256;

/// A log with more memory or more entries is large.
const LARGE_BYTES: usize = 4 << 20;
const LARGE_ENTRIES: usize = 4000;

/// An event and when it happened, to the millisecond.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    pub at: Timestamp,
    pub event: Event,
}

/// All events of one interaction. It has one writer and many readers.
#[derive(Debug)]
pub struct Log {
    head: Head,
    /// Content of the first event.
    settings: InteractionSettings,
    persistence: Persistence,
    created: Timestamp,
    /// `None` if nothing is written: the interaction is ephemeral, or has ended.
    disk: Option<LogDisk>,
    entries: Mutex<Vec<LogEntry>>,
    /// Whether the interaction itself is stored, or queued to be.
    begun: AtomicBool,
    progress: watch::Sender<Progress>,
    /// Why it closed without a last event.
    failed: OnceLock<StoreError>,
    /// Memory reserved for its content, at the latest when it has ended.
    memory: Mutex<Vec<Arc<Share>>>,
}

/// What a log needs to write to the disk.
#[derive(Debug)]
pub struct LogDisk {
    /// The interaction's number in the tables.
    pub number: i64,
    pub writer: Writer,
    pub blobs: BlobStore,
    pub(super) store: Weak<Inner>,
    /// Number of rows of events. Only the writer's task changes it.
    pub rows: AtomicUsize,
    /// Set by the writer's task when it has deleted the rows; it then writes no more of them.
    pub deleted: AtomicBool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    length: usize,
    /// No event follows: the last event was appended, or the disk has failed.
    closed: bool,
    /// No event follows until another server resumes the interaction.
    suspended: bool,
}

impl Log {
    pub fn ephemeral(head: Head, created: Timestamp) -> Log {
        Log::new(head, Persistence::Ephemeral, created, None)
    }

    pub fn stored(head: Head, created: Timestamp, disk: LogDisk) -> Log {
        Log::new(head, Persistence::Stored, created, Some(disk))
    }

    /// A log from the disk that is resumed.
    pub fn unfinished(
        head: Head,
        created: Timestamp,
        disk: LogDisk,
        entries: Vec<LogEntry>,
    ) -> Log {
        let log = Log::stored(head, created, disk);
        log.begun.store(true, Ordering::Relaxed);
        log.publish(entries);
        log
    }

    /// A log from the disk to which no events will be appended.
    pub fn ended(head: Head, created: Timestamp, entries: Vec<LogEntry>) -> Log {
        let log = Log::new(head, Persistence::Stored, created, None);
        log.publish(entries);
        log.close();
        log
    }

    fn new(head: Head, persistence: Persistence, created: Timestamp, disk: Option<LogDisk>) -> Log {
        let (progress, _) = watch::channel(Progress::default());
        let (entries, begun) = (Mutex::default(), AtomicBool::new(false));
        let (settings, failed) = (InteractionSettings::default(), OnceLock::new());
        let memory = Mutex::default();
        Log { head, settings, persistence, created, disk, entries, begun, progress, failed, memory }
    }

    /// Reserves memory while the log exists, because slow readers keep it.
    pub fn reserve(&self, memory: impl IntoIterator<Item = Arc<Share>>) {
        self.memory.lock().extend(memory);
    }

    /// Returns the reserved memory. For a caller that waits for the memory of what it makes of the log:
    /// what is held here might be what is missing.
    pub fn release_memory(&self) {
        self.memory.lock().clear();
    }

    /// Whether making an answer of it takes so long that other requests would wait.
    pub fn is_large(&self) -> bool {
        let reserved = self.memory.lock().iter().map(|share| share.bytes()).sum::<usize>();
        reserved > LARGE_BYTES || self.entries().len() > LARGE_ENTRIES
    }

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

    /// Appends events atomically: a reader sees all of them or none, and those of a stored interaction
    /// only once they are on the disk. The first append also stores the interaction itself and its
    /// [`Event::Created`]. Dropping the future does not cancel an append that is queued.
    pub async fn append(self: &Arc<Self>, events: Vec<Event>) -> Result<(), StoreError> {
        match self.send(events).await? {
            Some(written) => written.await.unwrap_or(Err(StoreError::Closed)),
            None => Ok(()),
        }
    }

    /// The same, without waiting for the disk. Events that are appended later are written later. If the
    /// disk fails, the log closes.
    pub async fn append_soon(self: &Arc<Self>, events: Vec<Event>) -> Result<(), StoreError> {
        self.send(events).await.map(drop)
    }

    /// Counts that the interaction is resumed, and returns how often that happened without a shutdown.
    pub async fn count_resume(&self) -> Result<u32, StoreError> {
        match &self.disk {
            Some(disk) => disk.writer.count_resume(disk.number).await,
            None => Ok(1),
        }
    }

    /// Whether an event was appended.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits until the interaction is stored.
    pub async fn exists(&self) -> Result<(), StoreError> {
        let mut progress = self.progress.subscribe();
        let first = progress.wait_for(|progress| progress.closed || progress.length > 0).await;
        // Cannot be an error, because `self` owns the sender.
        if first.is_ok_and(|progress| progress.length > 0) {
            Ok(())
        } else {
            Err(self.failure().unwrap_or(StoreError::NotBegun))
        }
    }

    /// Queues events for the writer; returns the receiver of the result. Without a disk, publishes them
    /// and returns `None`.
    async fn send(self: &Arc<Self>, events: Vec<Event>) -> Result<Option<Written>, StoreError> {
        let at = now();
        let is_first = !self.has_begun();
        let created = is_first.then_some(Event::Created(self.settings));
        let entry = |event| LogEntry { at, event };
        let entries: Vec<_> = created.into_iter().chain(events).map(entry).collect();
        let Some(disk) = &self.disk else {
            self.begun.store(true, Ordering::Relaxed);
            self.publish(entries);
            return Ok(None);
        };
        let mut blobs = record::Blobs::default();
        let row_bytes =
            |text: &str, values: usize| TEXT_COPIES * text.len() + BYTES_PER_VALUE * values;
        let record = record::of_events(entries.iter().map(|entry| &entry.event), &mut blobs);
        let input = is_first.then(|| record::of_steps(&self.head.input, &mut blobs));
        let mut put = disk.blobs.put(&blobs).await;
        if matches!(put, Err(StoreError::Full)) {
            disk.writer.reclaim().await;
            put = disk.blobs.put(&blobs).await;
        }
        let pin = put.inspect_err(|error| {
            // Otherwise `exists` would never return.
            if is_first {
                self.fail(error);
            }
        })?;
        let values = entries.iter().map(|entry| entry.event.json_values()).sum::<usize>();
        let memory = RowMemory {
            input_bytes: input
                .as_deref()
                .map_or(0, |input| row_bytes(input, json::values(input.as_bytes()))),
            events_bytes: row_bytes(&record, values) + BYTES_PER_EVENT * entries.len(),
        };
        let blobs = blobs.addresses();
        let append = Append { log: Arc::clone(self), input, entries, record, memory, blobs, pin };
        let written = disk.writer.append(append).await?;
        // Only now: if the caller drops this future while the writer's queue is full, nothing was stored.
        self.begun.store(true, Ordering::Relaxed);
        Ok(Some(written))
    }

    /// Whether it has a last event.
    pub fn has_ended(&self) -> bool {
        self.entries().last().is_some_and(|entry| is_last(&entry.event))
    }

    /// The state that the events so far result in.
    pub fn projection(&self) -> Projection {
        Projection::new(self.entries().iter().map(|entry| &entry.event))
    }

    pub fn settings(&self) -> InteractionSettings {
        match self.entries().first().map(|entry| &entry.event) {
            Some(Event::Created(settings)) => *settings,
            _ => self.settings,
        }
    }

    /// The tally of the first `entries` entries.
    pub fn tally(&self, entries: usize) -> UsageEstimate {
        UsageEstimate::new(self.entries().iter().take(entries).map(|entry| &entry.event))
    }

    /// The entries from this number on, as far as they were appended.
    pub fn entries_from(&self, number: usize) -> Vec<LogEntry> {
        self.entries().get(number..).unwrap_or_default().to_vec()
    }

    pub fn entry(&self, number: usize) -> Option<LogEntry> {
        self.entries().get(number).cloned()
    }

    /// Follows the log from this number on to its last event.
    pub fn follow(self: &Arc<Self>, number: usize) -> Follower {
        Follower {
            log: Arc::clone(self),
            progress: self.progress.subscribe(),
            next: number,
            ready: Vec::new().into_iter(),
        }
    }

    /// Waits for the last event, or until the log closes because the disk has failed.
    pub async fn closed(&self) {
        // Cannot be an error, because `self` owns the sender.
        let _ = self.progress.subscribe().wait_for(|progress| progress.closed).await;
    }

    pub(super) fn disk(&self) -> Option<&LogDisk> {
        self.disk.as_ref()
    }

    /// Makes entries visible to followers.
    pub(super) fn publish(&self, new: Vec<LogEntry>) {
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

    /// Closes the log without a last event, so that the next server resumes the interaction.
    pub fn suspend(&self) {
        self.progress.send_modify(|progress| {
            progress.suspended = true;
            progress.closed = true;
        });
    }

    /// The same for an interaction that is running, whose last resumption did not end the server.
    pub fn suspend_running(&self) {
        if let Some(disk) = &self.disk {
            disk.writer.discount_resume_soon(disk.number);
        }
        self.suspend();
    }

    pub fn is_suspended(&self) -> bool {
        self.progress.borrow().suspended
    }

    /// Closes the log because of this error.
    pub(super) fn fail(&self, why: &StoreError) {
        // Keeps the first reason.
        let _ = self.failed.set(why.clone());
        self.close();
    }

    /// Why it closed without a last event, if that is known.
    pub fn failure(&self) -> Option<StoreError> {
        self.failed.get().cloned()
    }

    pub(super) fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    fn entries(&self) -> MutexGuard<'_, Vec<LogEntry>> {
        self.entries.lock()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(store) = self.disk.as_ref().and_then(|disk| disk.store.upgrade()) {
            store.unregister(&self.head.id);
        }
    }
}

/// Maximum number of entries that a follower copies at once.
const ENTRIES_AT_ONCE: usize = 256;

/// Reads a log at its own pace.
#[derive(Debug)]
pub struct Follower {
    log: Arc<Log>,
    progress: watch::Receiver<Progress>,
    next: usize,
    ready: std::vec::IntoIter<LogEntry>,
}

impl Follower {
    /// The next entry and its number; `None` after the last one.
    pub async fn next(&mut self) -> Option<(usize, LogEntry)> {
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
            let end = progress.length.min(next + ENTRIES_AT_ONCE);
            self.ready = self.log.entries().get(next..end).unwrap_or_default().to_vec().into_iter();
        }
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }
}

/// Whether the event is the last one of its log.
pub fn is_last(event: &Event) -> bool {
    matches!(event, Event::Finished { .. } | Event::Failed(_))
}

/// The current time in the precision of the database.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
