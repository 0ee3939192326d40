//! Moves what was written from the write-ahead log into the database, beside the writer. That waits for the disk, which
//! an append does not: what is in the log survives this process as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::reserve::disk_bytes;
use super::{StoreError, folder};

/// Between two of them, so that the pages that change all the time are moved once.
const PAUSE: Duration = Duration::from_millis(500);
/// SQLite's default, which this database was made with.
pub const PAGE_BYTES: u64 = 4096;

/// How long a checkpoint that empties the log waits for requests that read from it.
const READERS_MAY_TAKE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// Moves what can be moved without waiting for anything but the disk.
    Passive,
    /// Waits for those that read from the log, and gives its room back.
    Truncate,
}

#[derive(Debug)]
pub struct Checkpoints {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    /// Ends the task.
    running: DropGuard,
}

#[derive(Debug)]
struct Shared {
    /// Only one checkpoint can run at a time.
    connection: Mutex<SqliteConnection>,
    folder: PathBuf,
    /// Of the database's file, which only a checkpoint changes.
    file_bytes: AtomicU64,
    written: Notify,
    urgent: Notify,
    stopping: CancellationToken,
}

impl Checkpoints {
    pub async fn start(
        options: &SqliteConnectOptions,
        folder: &Path,
    ) -> Result<Checkpoints, StoreError> {
        let options = options.clone().busy_timeout(READERS_MAY_TAKE);
        let connection = Mutex::new(SqliteConnection::connect_with(&options).await?);
        let (written, urgent, stopping) = (Notify::new(), Notify::new(), CancellationToken::new());
        let running = stopping.clone().drop_guard();
        let (folder, file_bytes) = (folder.to_owned(), AtomicU64::default());
        let shared = Arc::new(Shared { connection, folder, file_bytes, written, urgent, stopping });
        shared.look();
        let task = tokio::spawn(keep_moving(Arc::clone(&shared)));
        Ok(Checkpoints { shared, task, running })
    }

    /// There is something to move.
    pub fn written(&self) {
        self.shared.written.notify_one();
    }

    /// There is so much to move that the next checkpoint begins without a pause.
    pub fn hurry(&self) {
        self.shared.urgent.notify_one();
    }

    /// By how much the file of a database of so many pages grows when the log is moved into it.
    pub fn growth(&self, pages: u64) -> u64 {
        self.shared.growth(pages)
    }

    /// Moves the log now, and says whether all of it was moved.
    pub async fn run(&self, mode: Mode) -> Result<bool, StoreError> {
        run(&self.shared, mode).await
    }

    /// Returns when the database is not used any more.
    pub async fn stop(self) {
        drop(self.running);
        if self.task.await.is_err() {
            tracing::warn!("the task that moves the log of the database has panicked");
        }
        let Some(shared) = Arc::into_inner(self.shared) else { return };
        if let Err(error) = shared.connection.into_inner().close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

impl Shared {
    /// Notes how large the file is.
    fn look(&self) {
        let file = std::fs::metadata(self.folder.join(folder::DATABASE));
        self.file_bytes.store(file.map_or(0, |file| file.len()), Ordering::Relaxed);
    }

    fn growth(&self, pages: u64) -> u64 {
        let file_bytes = self.file_bytes.load(Ordering::Relaxed);
        pages.saturating_mul(PAGE_BYTES).saturating_sub(file_bytes)
    }
}

async fn keep_moving(shared: Arc<Shared>) {
    let stopping = &shared.stopping;
    // Told of once, as it fails again and again on a disk that is full.
    let mut has_failed = false;
    while stopping.run_until_cancelled(shared.written.notified()).await.is_some() {
        let moved = run(&shared, Mode::Passive).await;
        match &moved {
            Err(error) if !has_failed => tracing::warn!(%error, "database checkpoint failed"),
            _ => {}
        }
        has_failed = moved.is_err();
        let urgent = tokio::time::timeout(PAUSE, shared.urgent.notified());
        stopping.run_until_cancelled(urgent).await;
    }
}

async fn run(shared: &Shared, mode: Mode) -> Result<bool, StoreError> {
    let statement = match mode {
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let mut connection = shared.connection.lock().await;
    let row = sqlx::query("PRAGMA page_count").fetch_one(&mut *connection).await?;
    let growth = shared.growth(row.try_get::<i64, _>(0)?.unsigned_abs());
    if disk_bytes(&shared.folder).is_some_and(|disk| growth > disk.unused) {
        // It would take the room that is left, and end before it frees any.
        return Err(StoreError::Full);
    }
    let moved = sqlx::query(statement).fetch_one(&mut *connection).await;
    shared.look();
    let row = moved?;
    let (is_busy, pages, moved): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(is_busy == 0 && pages == moved)
}
