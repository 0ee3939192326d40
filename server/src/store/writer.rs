//! The one task that writes to the database. What is queued while a transaction runs goes into the
//! next one together, so that many interactions share the price of one commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::blobs::Pin;
use super::checkpoint::{Checkpoints, MAX_LOG_PAGES};
use super::files::{Applied, Change};
use super::log::{Entry, Log};
use super::reserve::{DiskRoom, Reserve};
use super::rows::Rows;

/// Jobs that wait. Whoever comes after that waits for a place.
const MAX_QUEUED: usize = 4096;
/// Jobs of one transaction.
const MAX_BATCH: usize = 1024;

/// What is left of the database's log when all of it has been moved: 16 MiB.
const KEPT_LOG_BYTES: &str = "16777216";

/// The room on the disk, and the part of it that is kept for deletions.
#[derive(Debug)]
struct Disk {
    reserve: Reserve,
    room: DiskRoom,
}

impl Disk {
    /// Whether a deletion failed for want of room, which it has now.
    fn makes_room_after<T>(&self, result: &Result<T, StoreError>) -> bool {
        let is_full = matches!(result, Err(StoreError::Full));
        if is_full {
            self.reserve.release();
        }
        is_full
    }

    /// Takes the reserve again once something was deleted. That a deletion worked says nothing of
    /// the room for anything else.
    fn deleted<T>(&self, result: &Result<T, StoreError>) {
        match result {
            Ok(_) => self.reserve.restore(),
            Err(_) => self.room.note(result),
        }
    }
}

/// The way to the task. It ends when nobody holds this any more.
#[derive(Debug, Clone)]
pub struct Writer(mpsc::Sender<Job>);

/// Says whether an append has reached the disk.
pub type Written = oneshot::Receiver<Result<(), StoreError>>;

#[derive(Debug)]
enum Job {
    Append(Append, oneshot::Sender<Result<(), StoreError>>),
    Delete {
        number: i64,
        log: Option<Arc<Log>>,
        done: oneshot::Sender<Result<Vec<String>, StoreError>>,
    },
    Files(Change, oneshot::Sender<Result<Applied, StoreError>>),
    Close(oneshot::Sender<()>),
}

/// Events of one log, on their way to the disk.
#[derive(Debug)]
pub struct Append {
    pub log: Arc<Log>,
    /// JSON of the input, where the interaction begins with this.
    pub input: Option<String>,
    pub entries: Vec<Entry>,
    /// JSON of the entries' events.
    pub record: String,
    /// Addresses of the blobs that are needed from now on.
    pub blobs: Vec<String>,
    /// Keeps the blobs from being removed before a row says that they are in use.
    pub pin: Option<Pin>,
}

impl Writer {
    /// `lock` is held for as long as anything may be written.
    pub async fn start(
        options: &SqliteConnectOptions,
        lock: std::fs::File,
        reserve: Reserve,
        room: DiskRoom,
    ) -> Result<Writer, StoreError> {
        let checkpoints = Checkpoints::start(options).await?;
        let options = options
            .clone()
            .pragma("wal_autocheckpoint", MAX_LOG_PAGES)
            .pragma("journal_size_limit", KEPT_LOG_BYTES);
        let connection = SqliteConnection::connect_with(&options).await?;
        let (sender, jobs) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(write(connection, jobs, checkpoints, lock, Disk { reserve, room }));
        Ok(Writer(sender))
    }

    /// Queues it. A store that is closed closes the log.
    pub async fn append(&self, append: Append) -> Result<Written, StoreError> {
        let (done, written) = oneshot::channel();
        let log = Arc::clone(&append.log);
        match self.0.send(Job::Append(append, done)).await {
            Ok(()) => Ok(written),
            Err(_) => {
                log.close();
                Err(StoreError::Closed)
            }
        }
    }

    /// Deletes the rows of an interaction, and gives the addresses of the blobs that nobody needs
    /// any more. `log` is the one that may still want to append.
    pub async fn delete(
        &self,
        number: i64,
        log: Option<Arc<Log>>,
    ) -> Result<Vec<String>, StoreError> {
        let (done, deleted) = oneshot::channel();
        let job = Job::Delete { number, log, done };
        self.0.send(job).await.map_err(|_| StoreError::Closed)?;
        deleted.await.map_err(|_| StoreError::Closed)?
    }

    /// Changes the rows of files and uploads.
    pub async fn change(&self, change: Change) -> Result<Applied, StoreError> {
        let (done, changed) = oneshot::channel();
        self.0.send(Job::Files(change, done)).await.map_err(|_| StoreError::Closed)?;
        changed.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits until all that was queued is written, and ends the task.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.send(Job::Close(done)).await.is_ok() {
            // An error means that it was closed already.
            let _ = closed.await;
        }
    }
}

async fn write(
    mut connection: SqliteConnection,
    mut jobs: mpsc::Receiver<Job>,
    checkpoints: Checkpoints,
    lock: std::fs::File,
    disk: Disk,
) {
    let mut batch = Vec::new();
    let mut closing = None;
    while closing.is_none() && jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let mut appends = Vec::new();
        for job in batch.drain(..) {
            match job {
                Job::Append(append, done) => appends.push((append, done)),
                Job::Delete { number, log, done } => {
                    // What was appended before is deleted with the rest.
                    commit(&mut connection, std::mem::take(&mut appends), &disk.room).await;
                    let mut result = delete(&mut connection, number).await;
                    if disk.makes_room_after(&result) {
                        result = delete(&mut connection, number).await;
                    }
                    disk.deleted(&result);
                    if let (Ok(_), Some(disk)) = (&result, log.as_ref().and_then(|log| log.disk()))
                    {
                        disk.deleted.store(true, Ordering::Relaxed);
                    }
                    // Whoever asked may have gone away.
                    let _ = done.send(result);
                }
                Job::Files(change, done) => {
                    let makes_room = change.makes_room();
                    let mut result = change.clone().apply(&mut connection).await;
                    if makes_room && disk.makes_room_after(&result) {
                        result = change.apply(&mut connection).await;
                    }
                    if makes_room {
                        disk.deleted(&result);
                    } else {
                        disk.room.note(&result);
                    }
                    // Whoever asked may have gone away.
                    let _ = done.send(result);
                }
                Job::Close(done) => closing = Some(done),
            }
        }
        commit(&mut connection, appends, &disk.room).await;
        checkpoints.written();
    }
    checkpoints.stop().await;
    if let Err(error) = connection.close().await {
        tracing::warn!(error = %error, "the database did not close cleanly");
    }
    drop(lock);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// Writes all of these or none, shows them to their readers, and says so to their writers.
async fn commit(
    connection: &mut SqliteConnection,
    appends: Vec<(Append, oneshot::Sender<Result<(), StoreError>>)>,
    room: &DiskRoom,
) {
    if appends.is_empty() {
        return;
    }
    let rows = Rows::of(appends.iter().map(|(append, _)| append));
    let result = rows.insert(connection).await;
    room.note(&result);
    for (append, done) in appends {
        match &result {
            Ok(()) => append.log.publish(append.entries),
            // Its writer may be gone, and its readers must not wait for what cannot come.
            Err(error) => append.log.fail(error),
        }
        let _ = done.send(result.clone());
    }
}

async fn delete(connection: &mut SqliteConnection, number: i64) -> Result<Vec<String>, StoreError> {
    let mut transaction = connection.begin().await?;
    let unused = sqlx::query(
        "SELECT sha256 FROM blob_uses AS mine WHERE interaction = $1 AND NOT EXISTS \
         (SELECT 1 FROM blob_uses WHERE sha256 = mine.sha256 AND interaction <> $1) \
         AND NOT EXISTS (SELECT 1 FROM files WHERE sha256 = mine.sha256)",
    )
    .bind(number)
    .fetch_all(&mut *transaction)
    .await?;
    for statement in [
        "DELETE FROM blob_uses WHERE interaction = $1",
        "DELETE FROM events WHERE interaction = $1",
        "DELETE FROM interactions WHERE number = $1",
    ] {
        sqlx::query(statement).bind(number).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(unused.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}
