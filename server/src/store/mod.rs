//! The events of each interaction, and following them; files that were sent ahead. No HTTP, no policy.
//!
//! ```text
//! Log::append ──▶ blobs (files by their SHA-256) ──▶ writer (one task, one transaction for all that
//!                                                    is queued) ──▶ SQLite ──▶ followers of the log
//!                    disk (what fits) ◀─┘      checkpoint (moves pages, waits for the disk) ──┘
//! ```
//!
//! What was acknowledged survives the death of this process. SQLite runs with a write-ahead log and
//! `synchronous = NORMAL`, so a machine that loses its power may lose the last moments before it,
//! as a whole and without damage to what is older.

mod blobs;
mod checkpoint;
mod clock;
mod disk;
mod files;
mod folder;
mod load;
mod log;
mod owner;
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
use std::sync::{Arc, Mutex, PoisonError, Weak};

use jiff::Timestamp;
use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use crate::interaction::{InteractionSettings, Step};
use blobs::BlobStore;
use disk::Disk;
use reserve::Reserve;
use room::DiskRoom;
use writer::Writer;

pub use clock::Clock;
pub use files::{Announced, File, FileLimits, Files, Progress, Receiving, UploadError};
pub use log::{Entry, Follower, Log};
pub use owner::Owner;
pub use record::RecordError;

/// Interactions that are looked at together when the old ones go.
const EXPIRED_AT_A_TIME: usize = 100;
/// SQLite's codes for a disk without room: for its files, and for the one beside its log.
const FULL: [i32; 2] = [13, 4874];
/// SQLite's primary code for a database that cannot be written.
const READ_ONLY: i32 = 8;
/// Connections that read. Writing has one of its own.
const READERS: u32 = 4;

/// All interactions of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    readers: SqlitePool,
    blobs: BlobStore,
    writer: Writer,
    /// Logs that may still grow. They are found here, and all others on the disk.
    growing: Mutex<HashMap<String, Weak<Log>>>,
    /// In the background, and not ended by the last server.
    unfinished: Mutex<Vec<Arc<Log>>>,
    next_number: AtomicI64,
    /// Where uploads lie until they are whole.
    uploads: PathBuf,
    data_folder: PathBuf,
    room: DiskRoom,
}

/// What an interaction was asked to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub id: String,
    pub model: String,
    pub previous_interaction_id: Option<String>,
    pub input: Vec<Step>,
    /// What another server needs to go on with it. Only those in the background have any.
    pub resume_state: Option<String>,
    /// The only one who can find it.
    pub owner: Owner,
}

impl Head {
    pub fn in_background(&self) -> bool {
        self.resume_state.is_some()
    }
}

/// Whether an interaction can be had again after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    Stored,
    /// Nothing of it reaches the disk, and it cannot be found.
    Ephemeral,
}

/// Why the store did not do its work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("could not use the data folder {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: Arc<std::io::Error> },
    #[error("the data folder {} is in use by another server", .0.display())]
    InUse(PathBuf),
    #[error(
        "the data folder {} has blobs and no database: restore belljar.sqlite, or remove the blobs \
         to begin anew", .0.display()
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
    #[error("could not bring the database up to date: {0}")]
    Migration(Arc<sqlx::migrate::MigrateError>),
    #[error("could not open the database {}: {source}", path.display())]
    Open { path: PathBuf, source: Box<StoreError> },
    #[error("the folder of blobs failed: {0}")]
    Blobs(Arc<object_store::Error>),
    #[error("a record does not read: {0}")]
    Record(#[from] RecordError),
    #[error("the interaction could not be written down")]
    NotBegun,
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// For the log, where the text could repeat what was stored.
    pub fn kind(&self) -> &'static str {
        match self {
            StoreError::Folder { .. } | StoreError::InUse(_) => "the data folder",
            StoreError::NoDatabase(_) | StoreError::DamagedDatabase(_) => "a damaged database",
            StoreError::DamagedBlob(_) => "a damaged blob",
            StoreError::Full => "a full disk",
            StoreError::ReadOnly => "a read-only data folder",
            StoreError::Database(_) | StoreError::Migration(_) | StoreError::Open { .. } => {
                "the database"
            }
            StoreError::Blobs(_) => "the folder of blobs",
            StoreError::Record(_) => "a malformed record",
            StoreError::NotBegun | StoreError::Closed => "a closed store",
        }
    }

    /// What a client reads where the data folder cannot be written.
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

/// SQLite's extended code of an error.
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
    /// Opens the store in this folder and makes what is missing. An interaction that was running
    /// when the last server died is written down as failed, but for those in the background.
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
                // What SQLite needs to open a database fits into the reserve.
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
        // A second server would take the first one's running interactions for dead.
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => StoreError::InUse(folder.to_owned()),
            std::fs::TryLockError::Error(source) => unusable(source),
        })?;

        let has_blobs = folder::has_blobs(folder);
        if has_blobs && folder::lacks_database(folder) {
            return Err(StoreError::NoDatabase(folder.to_owned()));
        }
        folder::close(folder).map_err(unusable)?;

        let options = SqliteConnectOptions::new()
            .filename(folder.join(folder::DATABASE))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            // Checkpoints are the business of `disk`, which knows whether there is room for them.
            .pragma("wal_autocheckpoint", "0");
        let readers =
            SqlitePoolOptions::new().max_connections(READERS).connect_with(options.clone()).await?;
        load::check(&readers).await?;
        if has_blobs && load::has_no_tables(&readers).await? {
            return Err(StoreError::NoDatabase(folder.to_owned()));
        }
        let room = DiskRoom::default();
        let writing = disk::options(&options, folder);
        let mut connection = SqliteConnection::connect_with(&writing).await?;
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
            growing: Mutex::default(),
            unfinished: Mutex::default(),
            next_number,
            uploads,
            data_folder: folder.to_owned(),
            room,
        }));
        let logs = unfinished.into_iter().map(|read| {
            let disk = store.disk(read.number, read.entries.len());
            store.grows(Log::unfinished(read.head, read.created, disk, read.entries))
        });
        let logs = logs.collect();
        *store.0.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = logs;
        Ok(store)
    }

    /// Begins the log of an interaction. It exists from what is first appended on.
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
                self.grows(Log::stored(head, now, self.disk(number, 0)).with_settings(settings))
            }
        }
    }

    /// The logs, once, of interactions in the background that the last server did not end.
    pub fn unfinished(&self) -> Vec<Arc<Log>> {
        std::mem::take(&mut *self.0.unfinished.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn disk(&self, number: i64, rows: usize) -> log::Disk {
        log::Disk {
            number,
            writer: self.0.writer.clone(),
            blobs: self.0.blobs.clone(),
            growing: Arc::downgrade(&self.0),
            rows: AtomicUsize::new(rows),
            deleted: AtomicBool::new(false),
        }
    }

    fn grows(&self, log: Log) -> Arc<Log> {
        let log = Arc::new(log);
        self.growing().insert(log.head().id.clone(), Arc::downgrade(&log));
        log
    }

    /// The log of a stored interaction of this owner. One of another owner takes the same way as one
    /// that does not exist, so that not even the time tells them apart.
    pub async fn find(&self, owner: &Owner, id: &str) -> Result<Option<Arc<Log>>, StoreError> {
        match self.growing_of(Some(owner), id) {
            Some(log) => Ok(Some(log)),
            None => load::log(&self.0.readers, &self.0.blobs, owner, id).await,
        }
    }

    /// Bytes of the pictures and files of a stored interaction of this owner.
    pub async fn blob_bytes(&self, owner: &Owner, id: &str) -> Result<u64, StoreError> {
        let addresses = load::blobs(&self.0.readers, owner, id).await?;
        self.0.blobs.bytes(&addresses).await
    }

    fn growing_of(&self, owner: Option<&Owner>, id: &str) -> Option<Arc<Log>> {
        let log = self.growing().get(id).and_then(Weak::upgrade);
        log.filter(|log| owner.is_none_or(|owner| log.head().owner == *owner))
    }

    /// Forgets an interaction of this owner, and says whether there was one. One that still runs goes
    /// on for the client that waits for it, and leaves nothing behind.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        self.forget(Some(owner), id).await
    }

    /// The same, for the server itself of any owner.
    async fn forget(&self, owner: Option<&Owner>, id: &str) -> Result<bool, StoreError> {
        let growing = self.growing_of(owner, id);
        let number = match &growing {
            Some(log) => log.disk().map(|disk| disk.number),
            None => load::number(&self.0.readers, owner, id).await?,
        };
        let Some(number) = number else {
            return Ok(false);
        };
        // From here on nobody can begin to use a blob that is about to go.
        let alone = self.0.blobs.alone().await;
        let unused = self.0.writer.delete(number, growing).await?;
        self.growing().remove(id);
        self.0.blobs.remove(&alone, &unused).await?;
        Ok(true)
    }

    /// Forgets all that were created before this and have ended, and says how many that were.
    pub async fn expire(&self, before: Timestamp) -> Result<usize, StoreError> {
        let now = Timestamp::now();
        let mut expired = 0;
        let mut after = 0;
        // Numbers are given out in the order of time, so none is older than those before it: one that
        // says so was created while the clock was wrong.
        let mut newest = Timestamp::MIN;
        loop {
            let oldest = load::oldest(&self.0.readers, after, EXPIRED_AT_A_TIME).await?;
            let Some((last, _, _)) = oldest.last() else { return Ok(expired) };
            after = *last;
            for (_, id, created) in oldest {
                if created > now {
                    continue; // by a clock that was wrong as well
                }
                newest = newest.max(created);
                if newest >= before {
                    return Ok(expired);
                }
                let runs = self.growing().get(&id).is_some_and(|log| log.strong_count() > 0);
                if !runs && self.forget(None, &id).await? {
                    expired += 1;
                }
            }
        }
    }

    /// The files that clients send ahead, within these limits.
    pub fn files(&self, limits: FileLimits) -> Files {
        Files::new(Arc::clone(&self.0), limits)
    }

    /// Why nothing can be stored, if that is so. After a write that failed it is tried.
    pub async fn problem(&self) -> Option<StoreError> {
        self.0.room.problem()?;
        self.0.writer.reclaim().await;
        self.0.room.problem()
    }

    /// Says whether what is too old may be deleted.
    pub fn clock(&self) -> Clock {
        Clock::open(&self.0.data_folder)
    }

    /// Waits until all that was queued is written, and lets go of the folder.
    pub async fn close(&self) {
        self.0.writer.close().await;
        self.0.readers.close().await;
    }

    fn growing(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Log>>> {
        self.0.growing()
    }
}

impl Inner {
    fn growing(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Log>>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a log that nobody holds any more off the list.
    fn gone(&self, id: &str) {
        let mut growing = self.growing();
        if growing.get(id).is_some_and(|log| log.strong_count() == 0) {
            growing.remove(id);
        }
    }
}

#[cfg(test)]
mod tests;
