//! Moves pages from the write-ahead log into the database, in a task beside the writer. A checkpoint
//! waits for the disk; an append does not, because the log survives the death of this process too.

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

/// Time between two checkpoints, so that pages that change often are moved once.
const PAUSE: Duration = Duration::from_millis(500);
/// SQLite's default, which this database uses.
pub const PAGE_BYTES: u64 = 4096;

/// How long a checkpoint that truncates the log waits for transactions that read from it.
const READERS_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// Moves the pages that can be moved without waiting for readers.
    Passive,
    /// Waits for readers of the log, and frees its disk space.
    Truncate,
}

#[derive(Debug)]
pub struct Checkpoints {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    /// Stops the task when dropped.
    running: DropGuard,
}

#[derive(Debug)]
struct Shared {
    /// SQLite runs one checkpoint at a time.
    connection: Mutex<SqliteConnection>,
    folder: PathBuf,
    /// Size of the database's file, which only a checkpoint changes.
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
        let options = options.clone().busy_timeout(READERS_TIMEOUT);
        let connection = Mutex::new(SqliteConnection::connect_with(&options).await?);
        let (written, urgent, stopping) = (Notify::new(), Notify::new(), CancellationToken::new());
        let running = stopping.clone().drop_guard();
        let (folder, file_bytes) = (folder.to_owned(), AtomicU64::default());
        let shared = Arc::new(Shared { connection, folder, file_bytes, written, urgent, stopping });
        shared.update_file_bytes();
        let task = tokio::spawn(keep_moving(Arc::clone(&shared)));
        Ok(Checkpoints { shared, task, running })
    }

    /// Schedules a checkpoint.
    pub fn written(&self) {
        self.shared.written.notify_one();
    }

    /// Starts the next checkpoint without the pause.
    pub fn hurry(&self) {
        self.shared.urgent.notify_one();
    }

    /// By how many bytes a checkpoint grows the file of a database with this number of pages.
    pub fn growth(&self, pages: u64) -> u64 {
        self.shared.growth(pages)
    }

    /// Runs a checkpoint now; returns whether all of the log was moved.
    pub async fn run(&self, mode: Mode) -> Result<bool, StoreError> {
        run(&self.shared, mode).await
    }

    /// Stops the task and closes its connection.
    pub async fn stop(self) {
        drop(self.running);
        if self.task.await.is_err() {
            tracing::warn!("checkpoint task panicked");
        }
        let Some(shared) = Arc::into_inner(self.shared) else { return };
        if let Err(error) = shared.connection.into_inner().close().await {
            tracing::warn!(%error, "could not close the database");
        }
    }
}

impl Shared {
    fn update_file_bytes(&self) {
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
    // Only the first of a series of failures is logged: on a full disk every checkpoint fails.
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
        // It would use up the free space and fail before it frees any.
        return Err(StoreError::Full);
    }
    let moved = sqlx::query(statement).fetch_one(&mut *connection).await;
    shared.update_file_bytes();
    let row = moved?;
    let (is_busy, pages, moved): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(is_busy == 0 && pages == moved)
}
