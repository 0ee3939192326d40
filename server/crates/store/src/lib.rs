//! Storage of interactions, as append-only logs of events, and of uploaded files. No HTTP, no policy.
//!
//! ```text
//! Log::append ──▶ blobs (files by their SHA-256) ──▶ writer (one task, one transaction for all
//!                                                    queued jobs) ──▶ SQLite ──▶ followers of the log
//!                    disk (free space) ◀─┘      checkpoint (moves pages, waits for the disk) ──┘
//! ```
//!
//! Acknowledged data survives the death of this process. SQLite runs with a write-ahead log and
//! `synchronous = NORMAL`: a power failure may lose the transactions of the last moments, each as a
//! whole and without damage to older data.

#![forbid(unsafe_code)]

mod batches;
mod blobs;
mod cached_contents;
mod checkpoint;
mod clock;
mod disk;
mod failure;
mod file_search;
mod files;
mod folder;
mod load;
mod log;
mod record;
mod reserve;
mod room;
mod rows;
mod transaction;
mod writer;

use std::collections::HashMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use blobs::BlobStore;
use disk::Disk;
use domain::interaction::{InteractionSettings, Step};
use log::SharedLogs;
use metrics::StoreMetrics;
use reserve::Reserve;
use resources::budget::Budget;
use room::DiskRoom;
use writer::Writer;

pub use batches::{
    BatchLine, BatchMethod, BatchResult, BatchState, MAX_BATCH_BYTES, MAX_BATCH_REQUESTS,
    MAX_BATCHES, MAX_OPEN_BATCHES, StoredBatch, StoredBatches,
};
pub use cached_contents::{CachedContent, CachedContents, MAX_CACHED_BYTES, MAX_CACHED_CONTENTS};
pub use clock::Clock;
pub use domain::owner::Owner;
pub use file_search::{
    FileSearchApplied, FileSearchChange, FileSearchStores, MAX_CHUNK_BYTES, MAX_DOCUMENTS,
    MAX_FILE_SEARCH_STORES, StoredDocument, StoredFileSearchStore,
};
pub use files::{Announced, FileLimits, Files, Receiving, StoredFile, UploadError, UploadState};
pub use load::StoredSize;
pub use log::overview::{InteractionPage, ListedInteraction, PageQuery};
pub use log::{Follower, Log, LogEntry, now};
pub use record::RecordError;

/// Interactions read at a time when expired ones are deleted.
const EXPIRED_AT_A_TIME: usize = 100;
/// SQLite's codes for a full disk: `SQLITE_FULL`, and the one for its shared-memory file.
const FULL: [i32; 2] = [13, 4874];
/// SQLite's primary code for a database that cannot be written.
const READ_ONLY: i32 = 8;
/// Connections that read. The writer has its own.
const READERS: u32 = 4;

/// All interactions of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    readers: SqlitePool,
    blobs: BlobStore,
    writer: Writer,
    /// Logs of running interactions, by id. All others are read from the disk.
    live: Mutex<HashMap<String, Weak<Log>>>,
    /// Numbers of pages by the address of the blob.
    page_counts: Mutex<HashMap<String, u64>>,
    /// Logs that were read from the disk.
    shared: SharedLogs,
    /// Background interactions that the last server did not finish.
    unfinished: Mutex<Vec<Arc<Log>>>,
    next_number: AtomicI64,
    /// Folder of incomplete uploads.
    uploads: PathBuf,
    data_folder: PathBuf,
    room: DiskRoom,
}

/// The request of an interaction, which does not change afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub id: String,
    pub model: String,
    pub previous_interaction_id: Option<String>,
    pub input: Vec<Step>,
    /// Data with which another server can resume it. Only background interactions have it.
    pub resume_state: Option<String>,
    /// The only tenant that can find it.
    pub owner: Owner,
}

impl Head {
    pub fn in_background(&self) -> bool {
        self.resume_state.is_some()
    }
}

/// Whether an interaction can be retrieved after its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    Stored,
    /// It is never written to the disk, and cannot be retrieved.
    Ephemeral,
}

/// Why an operation of the store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("could not use the data folder {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: Arc<std::io::Error> },
    #[error("the data folder {} is in use by another server", .0.display())]
    InUse(PathBuf),
    #[error(
        "the data folder {} has blobs but no database: restore belljar.sqlite, or remove the blobs \
         to start with an empty store", .0.display()
    )]
    NoDatabase(PathBuf),
    #[error("the database is damaged: restore it from a backup ({0})")]
    DamagedDatabase(String),
    #[error("the blob {0} is damaged: its content does not have its hash")]
    DamagedBlob(String),
    #[error("the disk is full")]
    Full,
    #[error("the data folder is read-only")]
    ReadOnly,
    #[error("database failed: {0}")]
    Database(Arc<sqlx::Error>),
    #[error("could not migrate the database: {0}")]
    Migration(Arc<sqlx::migrate::MigrateError>),
    #[error("could not open the database {}: {source}", path.display())]
    Open { path: PathBuf, source: Box<StoreError> },
    #[error("could not access the blobs: {0}")]
    Blobs(Arc<object_store::Error>),
    #[error("invalid record: {0}")]
    Record(#[from] RecordError),
    #[error("could not store the interaction")]
    NotBegun,
    #[error("the store is closed")]
    Closed,
    /// The memory budget is exhausted.
    #[error("no memory left to read the interaction")]
    NoMemory,
}

impl StoreError {
    /// A text for the log without stored data, which the full message could contain.
    pub fn kind(&self) -> &'static str {
        match self {
            StoreError::Folder { .. } | StoreError::InUse(_) => "data folder unusable",
            StoreError::NoDatabase(_) | StoreError::DamagedDatabase(_) => "database damaged",
            StoreError::DamagedBlob(_) => "blob damaged",
            StoreError::Full => "disk full",
            StoreError::ReadOnly => "data folder read-only",
            StoreError::Database(_) | StoreError::Migration(_) | StoreError::Open { .. } => {
                "database failed"
            }
            StoreError::Blobs(_) => "blobs inaccessible",
            StoreError::Record(_) => "record invalid",
            StoreError::NotBegun | StoreError::Closed => "store closed",
            StoreError::NoMemory => "memory exhausted",
        }
    }

    /// The message for clients if the data folder cannot be written.
    pub fn unwritable(&self) -> Option<&'static str> {
        match self {
            StoreError::Full => Some(
                "The disk of this server is full, so nothing can be stored. Delete \
                 interactions or files to free space.",
            ),
            StoreError::ReadOnly => Some(
                "The data folder of this server is read-only, so nothing can be stored or deleted.",
            ),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        match sqlite_code(&error) {
            Some(code) if FULL.contains(&code) => StoreError::Full,
            Some(code) if code & 0xff == READ_ONLY => StoreError::ReadOnly,
            _ => StoreError::Database(Arc::new(error)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> StoreError {
        use sqlx::migrate::MigrateError;
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => StoreError::Migration(Arc::new(error)),
        }
    }
}

/// SQLite's extended code of the error.
fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> StoreError {
        let mut cause = error.source();
        while let Some(found) = cause {
            if let Some(found) = found.downcast_ref().and_then(room::of_io) {
                return found;
            }
            cause = found.source();
        }
        StoreError::Blobs(Arc::new(error))
    }
}

impl Store {
    /// Opens the store in this folder and creates missing files. Marks the interactions that were
    /// running when the last server died as failed, except background interactions.
    pub async fn open(folder: &Path) -> Result<Store, StoreError> {
        let named = |error| match error {
            error
            @ (StoreError::Database(_) | StoreError::Migration(_) | StoreError::Record(_)) => {
                StoreError::Open { path: folder.join(folder::DATABASE), source: Box::new(error) }
            }
            other => other,
        };
        let opened = match room::explained(Store::open_folder(folder).await, folder).await {
            Err(StoreError::Full) => {
                // The reserve has enough space for the files that SQLite creates to open a database.
                Reserve::open(folder).release();
                Store::open_folder(folder).await
            }
            opened => opened,
        };
        opened.map_err(named)
    }

    async fn open_folder(folder: &Path) -> Result<Store, StoreError> {
        let unusable = |source: std::io::Error| StoreError::Folder {
            folder: folder.to_owned(),
            source: Arc::new(source),
        };
        folder::make(folder).map_err(unusable)?;
        let lock = std::fs::File::create(folder.join("lock")).map_err(unusable)?;
        // A second server would mark the running interactions of the first as failed.
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => StoreError::InUse(folder.to_owned()),
            std::fs::TryLockError::Error(source) => unusable(source),
        })?;

        let has_blobs = folder::has_blobs(folder);
        if has_blobs && folder::lacks_database(folder) {
            return Err(StoreError::NoDatabase(folder.to_owned()));
        }
        folder::restrict(folder).map_err(unusable)?;

        let options = SqliteConnectOptions::new()
            .filename(folder.join(folder::DATABASE))
            .create_if_missing(true)
            .synchronous(SqliteSynchronous::Normal)
            // `disk` makes the checkpoints, because it knows whether there is space for them.
            .pragma("wal_autocheckpoint", "0");
        // The first connection, and alone: setting the journal mode, and recovering the log of a server
        // that died, need an exclusive lock, which connections that open side by side refuse each other.
        let writing = disk::options(&options, folder).journal_mode(SqliteJournalMode::Wal);
        let mut connection = SqliteConnection::connect_with(&writing).await?;
        let readers = SqlitePoolOptions::new()
            // All at once and for good: a connection to a local file does not age, and what opens at its
            // first use would look like a leak.
            .min_connections(READERS)
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        load::check(&readers).await?;
        if has_blobs && load::has_no_tables(&readers).await? {
            return Err(StoreError::NoDatabase(folder.to_owned()));
        }
        let room = DiskRoom::default();
        let disk = Disk::open(folder, &options, &mut connection, room.clone()).await?;
        load::migrate(&readers).await?;
        let blobs = BlobStore::open(&folder.join(folder::BLOBS), room.clone()).map_err(unusable)?;
        let unfinished = load::unfinished(&readers, &blobs).await?;
        load::fail_orphaned(&readers, Timestamp::now()).await?;
        let next_number = AtomicI64::new(load::next_number(&readers).await?);
        let uploads = folder.join(folder::UPLOADS);
        let writer = Writer::start(connection, lock, disk);
        let store = Store(Arc::new(Inner {
            readers,
            blobs,
            writer,
            live: Mutex::default(),
            page_counts: Mutex::default(),
            shared: SharedLogs::default(),
            unfinished: Mutex::default(),
            next_number,
            uploads,
            data_folder: folder.to_owned(),
            room,
        }));
        let logs = unfinished.into_iter().map(|read| {
            let disk = store.disk(read.number, read.entries.len());
            store.register(Log::unfinished(read.head, read.created, disk, read.entries))
        });
        let logs = logs.collect();
        *store.0.unfinished.lock() = logs;
        Ok(store)
    }

    /// Begins the log of an interaction. The first append stores the interaction.
    pub fn begin(
        &self,
        head: Head,
        persistence: Persistence,
        settings: InteractionSettings,
    ) -> Arc<Log> {
        let now = log::now();
        match persistence {
            Persistence::Ephemeral => Arc::new(Log::ephemeral(head, now).with_settings(settings)),
            Persistence::Stored => {
                let number = self.0.next_number.fetch_add(1, Ordering::Relaxed);
                self.register(Log::stored(head, now, self.disk(number, 0)).with_settings(settings))
            }
        }
    }

    /// Takes the logs of background interactions that the last server did not finish. The second
    /// call returns none.
    pub fn unfinished(&self) -> Vec<Arc<Log>> {
        std::mem::take(&mut *self.0.unfinished.lock())
    }

    fn disk(&self, number: i64, rows: usize) -> log::LogDisk {
        log::LogDisk {
            number,
            writer: self.0.writer.clone(),
            blobs: self.0.blobs.clone(),
            store: Arc::downgrade(&self.0),
            rows: AtomicUsize::new(rows),
            deleted: AtomicBool::new(false),
        }
    }

    fn register(&self, log: Log) -> Arc<Log> {
        let log = Arc::new(log);
        self.live().insert(log.head().id.clone(), Arc::downgrade(&log));
        log
    }

    /// The log of a stored interaction of this owner. Interactions of other owners take the same path
    /// as ones that do not exist, so that the response time does not distinguish them.
    pub async fn find(&self, owner: &Owner, id: &str) -> Result<Option<Arc<Log>>, StoreError> {
        match self.live_of(Some(owner), id) {
            Some(log) => Ok(Some(log)),
            None => {
                let log = load::log(&self.0.readers, &self.0.blobs, owner, id).await?;
                Ok(log.map(Arc::new))
            }
        }
    }

    /// The same for readers, which share one log of an interaction that has ended. Its memory is reserved
    /// before it is read.
    pub async fn read(
        &self,
        owner: &Owner,
        id: &str,
        budget: &Budget,
    ) -> Result<Option<Arc<Log>>, StoreError> {
        if let Some(log) = self.live_of(Some(owner), id) {
            return Ok(Some(log));
        }
        // Others who read it wait for the first, and need no memory.
        let mut shared = self.0.shared.of(owner, id).await;
        if let Some(log) = shared.log() {
            return Ok(Some(log));
        }
        let Some(size) = self.size(owner, id).await? else { return Ok(None) };
        // What needs more than there is, can still be read alone.
        let bytes = size.row_bytes.saturating_add(size.blob_bytes).min(budget.most());
        let memory = budget.take(bytes).ok_or(StoreError::NoMemory)?;
        let log = load::log(&self.0.readers, &self.0.blobs, owner, id).await?;
        Ok(log.map(|log| {
            log.reserve([Arc::new(memory)]);
            shared.set(log)
        }))
    }

    /// The size of a stored interaction of this owner.
    pub async fn size(&self, owner: &Owner, id: &str) -> Result<Option<StoredSize>, StoreError> {
        load::size(&self.0.readers, &self.0.blobs, owner, id).await
    }

    /// The log of a running interaction of this owner.
    pub fn running(&self, owner: &Owner, id: &str) -> Option<Arc<Log>> {
        self.live_of(Some(owner), id)
    }

    /// Whether this owner has such an interaction.
    pub async fn contains(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        let is_live = self.running(owner, id).is_some();
        Ok(is_live || load::number(&self.0.readers, Some(owner), id).await?.is_some())
    }

    fn live_of(&self, owner: Option<&Owner>, id: &str) -> Option<Arc<Log>> {
        let log = self.live().get(id).and_then(Weak::upgrade);
        log.filter(|log| owner.is_none_or(|owner| log.head().owner == *owner))
    }

    /// Deletes an interaction of this owner and returns whether it existed. A running interaction
    /// continues for the client that waits for it, and is not stored any more.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        self.delete_of(Some(owner), id).await
    }

    /// Deletes an interaction of this owner, or of any owner if there is none.
    async fn delete_of(&self, owner: Option<&Owner>, id: &str) -> Result<bool, StoreError> {
        let live = self.live_of(owner, id);
        let number = match &live {
            Some(log) => log.disk().map(|disk| disk.number),
            None => load::number(&self.0.readers, owner, id).await?,
        };
        let Some(number) = number else {
            return Ok(false);
        };
        // While this lock is held, no append can start to use a blob that is about to be removed.
        let exclusive = self.0.blobs.lock_exclusively().await;
        let unused = self.0.writer.delete(number, live).await?;
        self.live().remove(id);
        self.0.shared.remove(id);
        self.0.blobs.remove(&exclusive, &unused).await?;
        Ok(true)
    }

    /// Deletes all interactions that were created before this time and have ended; returns their
    /// number.
    pub async fn expire(&self, before: Timestamp) -> Result<usize, StoreError> {
        let now = Timestamp::now();
        let mut expired = 0;
        let mut after = 0;
        // Numbers are assigned in order of creation. An interaction whose time is before that of a
        // smaller number was created while the clock was wrong.
        let mut newest = Timestamp::MIN;
        loop {
            let oldest = load::oldest(&self.0.readers, after, EXPIRED_AT_A_TIME).await?;
            let Some((last, _, _)) = oldest.last() else { return Ok(expired) };
            after = *last;
            for (_, id, created) in oldest {
                if created > now {
                    continue; // created while the clock was wrong
                }
                newest = newest.max(created);
                if newest >= before {
                    return Ok(expired);
                }
                let runs = self.live().get(&id).is_some_and(|log| log.strong_count() > 0);
                if !runs && self.delete_of(None, &id).await? {
                    expired += 1;
                }
            }
        }
    }

    /// The uploaded files, with these limits.
    pub fn files(&self, limits: FileLimits) -> Files {
        Files::new(Arc::clone(&self.0), limits)
    }

    pub fn cached_contents(&self) -> CachedContents {
        CachedContents::new(Arc::clone(&self.0))
    }

    pub fn file_search_stores(&self) -> FileSearchStores {
        FileSearchStores::new(Arc::clone(&self.0))
    }

    pub fn batches(&self) -> StoredBatches {
        StoredBatches::new(Arc::clone(&self.0))
    }

    /// Measures of the writes, up to now.
    pub fn metrics(&self) -> &StoreMetrics {
        self.0.writer.metrics()
    }

    /// Why nothing can be stored, if that is so. Tries to write if an earlier write failed.
    pub async fn problem(&self) -> Option<StoreError> {
        self.0.room.problem()?;
        self.0.writer.reclaim().await;
        self.0.room.problem()
    }

    /// Decides whether the clock is reliable enough to delete expired data.
    pub fn clock(&self) -> Clock {
        Clock::open(&self.0.data_folder)
    }

    /// Waits until all queued jobs are written, and releases the folder.
    pub async fn close(&self) {
        self.0.writer.close().await;
        self.0.readers.close().await;
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Weak<Log>>> {
        self.0.live()
    }
}

impl Inner {
    fn live(&self) -> MutexGuard<'_, HashMap<String, Weak<Log>>> {
        self.live.lock()
    }

    /// Removes a log from the list when it has been dropped.
    fn unregister(&self, id: &str) {
        let mut live = self.live();
        if live.get(id).is_some_and(|log| log.strong_count() == 0) {
            live.remove(id);
        }
    }
}

#[cfg(test)]
mod tests;
