//! The one task that writes to the database. Jobs that are queued during a transaction share the next
//! one, so that many interactions share the cost of a commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::batches::BatchChange;
use super::blobs::Pin;
use super::cached_contents::CacheChange;
use super::disk::{Disk, pages};
use super::file_search::{FileSearchApplied, FileSearchChange};
use super::files::{Applied, Change};
use super::log::{Log, LogEntry};
use super::rows::Rows;
use super::transaction::{self, RowChange};
use metrics::StoreMetrics;

/// Capacity of the queue. Further callers wait.
const MAX_QUEUED: usize = 4096;
/// Jobs of one transaction.
const MAX_BATCH: usize = 1024;

/// A handle of the task, which ends when all handles are dropped.
#[derive(Debug, Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    metrics: StoreMetrics,
}

/// Receives the result of an append.
pub type Written = oneshot::Receiver<Result<(), StoreError>>;

/// Receives the result of a change.
type Reply<C> = oneshot::Sender<Result<<C as RowChange>::Applied, StoreError>>;

#[derive(Debug)]
enum Job {
    Append(Append, oneshot::Sender<Result<(), StoreError>>),
    Delete {
        number: i64,
        log: Option<Arc<Log>>,
        done: oneshot::Sender<Result<Vec<String>, StoreError>>,
    },
    /// Counts that an interaction is resumed.
    Resume {
        number: i64,
        done: oneshot::Sender<Result<u32, StoreError>>,
    },
    /// Does not count the last resumption of an interaction.
    Suspend {
        number: i64,
    },
    Files(Change, Reply<Change>),
    Cache(CacheChange, Reply<CacheChange>),
    Batch(BatchChange, Reply<BatchChange>),
    FileSearch(FileSearchChange, Reply<FileSearchChange>),
    Reclaim(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// Events of one log to be written.
#[derive(Debug)]
pub struct Append {
    pub log: Arc<Log>,
    /// JSON of the input, if this append begins the interaction.
    pub input: Option<String>,
    pub entries: Vec<LogEntry>,
    /// JSON of the entries' events.
    pub record: String,
    /// For the rows of the interaction and of the events.
    pub memory: RowMemory,
    /// Addresses of the blobs that the events refer to.
    pub blobs: Vec<String>,
    /// Prevents the removal of the blobs until a row refers to them.
    pub pin: Option<Pin>,
}

/// Estimated memory of the content of rows, once they are read.
#[derive(Debug, Clone, Copy)]
pub struct RowMemory {
    pub input_bytes: usize,
    pub events_bytes: usize,
}

impl Append {
    /// Size of the content, for the limit of a transaction.
    fn bytes(&self) -> u64 {
        (self.record.len() + self.input.as_ref().map_or(0, String::len)) as u64
    }
}

impl Writer {
    /// Starts the task. It holds `lock` until its last write.
    pub fn start(connection: SqliteConnection, lock: std::fs::File, disk: Disk) -> Writer {
        let (sender, jobs) = mpsc::channel(MAX_QUEUED);
        let metrics = StoreMetrics::default();
        tokio::spawn(write(connection, jobs, lock, disk, metrics.clone()));
        Writer { jobs: sender, metrics }
    }

    /// Measures of the writes, up to now.
    pub fn metrics(&self) -> &StoreMetrics {
        self.metrics.set_queued(self.jobs.max_capacity() - self.jobs.capacity());
        &self.metrics
    }

    /// Queues an append. Closes the log if the store is closed.
    pub async fn append(&self, append: Append) -> Result<Written, StoreError> {
        let (done, written) = oneshot::channel();
        let log = Arc::clone(&append.log);
        match self.jobs.send(Job::Append(append, done)).await {
            Ok(()) => Ok(written),
            Err(_) => {
                log.close();
                Err(StoreError::Closed)
            }
        }
    }

    /// Deletes the rows of an interaction; returns the addresses of the blobs that became unused. `log`
    /// is its log if it is still running.
    pub async fn delete(
        &self,
        number: i64,
        log: Option<Arc<Log>>,
    ) -> Result<Vec<String>, StoreError> {
        let (done, deleted) = oneshot::channel();
        let job = Job::Delete { number, log, done };
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        deleted.await.map_err(|_| StoreError::Closed)?
    }

    /// Counts that an interaction is resumed, and returns how often that happened without a shutdown.
    pub async fn count_resume(&self, number: i64) -> Result<u32, StoreError> {
        let (done, counted) = oneshot::channel();
        self.jobs.send(Job::Resume { number, done }).await.map_err(|_| StoreError::Closed)?;
        counted.await.map_err(|_| StoreError::Closed)?
    }

    /// Does not count the last resumption of an interaction, because the server is shutting down.
    pub fn discount_resume_soon(&self, number: i64) {
        // If the queue is full, the resumption stays counted.
        let _ = self.jobs.try_send(Job::Suspend { number });
    }

    /// Changes the rows of files and uploads.
    pub async fn change_files(&self, change: Change) -> Result<Applied, StoreError> {
        self.change(change, Job::Files).await
    }

    /// Changes the rows of cached contents.
    pub async fn change_cache(&self, change: CacheChange) -> Result<bool, StoreError> {
        self.change(change, Job::Cache).await
    }

    /// Changes the rows of file search stores.
    pub async fn change_file_search(
        &self,
        change: FileSearchChange,
    ) -> Result<FileSearchApplied, StoreError> {
        self.change(change, Job::FileSearch).await
    }

    /// Changes the rows of batches.
    pub async fn change_batch(&self, change: BatchChange) -> Result<u64, StoreError> {
        self.change(change, Job::Batch).await
    }

    async fn change<C: RowChange>(
        &self,
        change: C,
        job: fn(C, Reply<C>) -> Job,
    ) -> Result<C::Applied, StoreError> {
        let (done, changed) = oneshot::channel();
        self.jobs.send(job(change, done)).await.map_err(|_| StoreError::Closed)?;
        changed.await.map_err(|_| StoreError::Closed)?
    }

    /// Frees as much space as possible on a full disk.
    pub async fn reclaim(&self) {
        let (done, reclaimed) = oneshot::channel();
        if self.jobs.send(Job::Reclaim(done)).await.is_ok() {
            // An error means that the store was closed in the meantime.
            let _ = reclaimed.await;
        }
    }

    /// The same, without waiting for it.
    pub fn reclaim_soon(&self) {
        let (done, _) = oneshot::channel();
        // A full queue contains writes, which also reclaim space.
        let _ = self.jobs.try_send(Job::Reclaim(done));
    }

    /// Waits until all queued jobs are written, and stops the task.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).await.is_ok() {
            // An error means that it was closed already.
            let _ = closed.await;
        }
    }
}

type Appends = Vec<(Append, oneshot::Sender<Result<(), StoreError>>)>;

async fn write(
    mut connection: SqliteConnection,
    mut jobs: mpsc::Receiver<Job>,
    lock: std::fs::File,
    mut disk: Disk,
    metrics: StoreMetrics,
) {
    let mut batch = Vec::new();
    let mut closing = None;
    while closing.is_none() && jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let mut appends = Vec::new();
        let mut bytes = 0;
        for job in batch.drain(..) {
            match job {
                Job::Append(append, done) => {
                    bytes += append.bytes();
                    appends.push((append, done));
                    if bytes > disk.transaction_bytes() / 2 {
                        commit(&mut connection, std::mem::take(&mut appends), &mut disk, &metrics)
                            .await;
                        bytes = 0;
                    }
                }
                Job::Delete { number, log, done } => {
                    // Commit earlier appends first, so that the deletion includes them.
                    commit(&mut connection, std::mem::take(&mut appends), &mut disk, &metrics)
                        .await;
                    let result = delete(&mut connection, number, &mut disk).await;
                    if let (Ok(_), Some(disk)) = (&result, log.as_ref().and_then(|log| log.disk()))
                    {
                        disk.deleted.store(true, Ordering::Relaxed);
                    }
                    // The client may have disconnected.
                    let _ = done.send(result);
                }
                Job::Resume { number, done } => {
                    let result = count_resume(&mut connection, number).await;
                    let result = disk.explain(result).await;
                    disk.room.note(&result);
                    // The task that asked may have been cancelled.
                    let _ = done.send(result);
                }
                Job::Suspend { number } => {
                    let result = discount_resume(&mut connection, number).await;
                    if let Err(error) = disk.explain(result).await {
                        tracing::warn!(%error, "resumption stays counted");
                    }
                }
                // The clients may have disconnected.
                Job::Files(change, done) => {
                    let _ = done.send(apply(&mut connection, change, &mut disk).await);
                }
                Job::Cache(change, done) => {
                    let _ = done.send(apply(&mut connection, change, &mut disk).await);
                }
                Job::FileSearch(change, done) => {
                    let _ = done.send(apply(&mut connection, change, &mut disk).await);
                }
                Job::Batch(change, done) => {
                    let _ = done.send(apply(&mut connection, change, &mut disk).await);
                }
                Job::Reclaim(done) => {
                    disk.reclaim(&mut connection).await;
                    // The client may have disconnected.
                    let _ = done.send(());
                }
                Job::Close(done) => closing = Some(done),
            }
        }
        commit(&mut connection, appends, &mut disk, &metrics).await;
        disk.checkpoints.written();
    }
    disk.checkpoints.stop().await;
    if let Err(error) = connection.close().await {
        tracing::warn!(error = %error, "could not close the database");
    }
    drop(lock);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// Writes all appends or none, publishes their entries, and sends the result to each caller.
async fn commit(
    connection: &mut SqliteConnection,
    appends: Appends,
    disk: &mut Disk,
    metrics: &StoreMetrics,
) {
    if appends.is_empty() {
        return;
    }
    let began = Instant::now();
    let rows = Rows::of(appends.iter().map(|(append, _)| append));
    let mut result = insert(connection, &rows, disk).await;
    if matches!(result, Err(StoreError::Full)) {
        disk.reclaim(connection).await;
        result = insert(connection, &rows, disk).await;
    }
    if matches!(result, Err(StoreError::Full)) && disk.lend(rows.bytes(), connection).await {
        let inserted = rows.insert(connection).await;
        result = disk.explain(inserted).await.map(|pages| disk.committed(pages));
        disk.returned().await;
    }
    disk.room.note(&result);
    metrics.committed(appends.len(), began.elapsed(), result.is_ok());
    for (append, done) in appends {
        match &result {
            Ok(()) => append.log.publish(append.entries),
            // The caller may have been dropped, and followers must not wait for events that cannot come.
            Err(error) => append.log.fail(error),
        }
        let _ = done.send(result.clone());
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    rows: &Rows<'_>,
    disk: &mut Disk,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(()); // all of them were deleted
    }
    disk.prepare(rows.bytes()).await?;
    let inserted = rows.insert(connection).await;
    disk.committed(disk.explain(inserted).await?);
    Ok(())
}

/// Changes rows. The disk has to have room for the change, unless it makes some.
async fn apply<C: RowChange>(
    connection: &mut SqliteConnection,
    change: C,
    disk: &mut Disk,
) -> Result<C::Applied, StoreError> {
    if change.makes_room() {
        let applied = transaction::apply(change.clone(), connection).await;
        let mut result = disk.explain(applied).await;
        if matches!(result, Err(StoreError::Full)) {
            disk.release().await;
            result = disk.explain(transaction::apply(change, connection).await).await;
        }
        disk.deleted(&result, connection).await;
        return result;
    }
    let mut result = add(connection, change.clone(), disk).await;
    if matches!(result, Err(StoreError::Full)) {
        disk.reclaim(connection).await;
        result = add(connection, change, disk).await;
    }
    disk.room.note(&result);
    result
}

async fn add<C: RowChange>(
    connection: &mut SqliteConnection,
    change: C,
    disk: &mut Disk,
) -> Result<C::Applied, StoreError> {
    disk.prepare(change.bytes()).await?;
    let applied = disk.explain(transaction::apply(change, connection).await).await?;
    disk.committed(pages(connection).await?);
    Ok(applied)
}

async fn delete(
    connection: &mut SqliteConnection,
    number: i64,
    disk: &mut Disk,
) -> Result<Vec<String>, StoreError> {
    let mut result = disk.explain(delete_rows(connection, number).await).await;
    if matches!(result, Err(StoreError::Full)) {
        disk.release().await;
        result = disk.explain(delete_rows(connection, number).await).await;
    }
    disk.deleted(&result, connection).await;
    result
}

/// An update of a row that exists: the database grows by no page, so the disk needs no preparation.
async fn count_resume(connection: &mut SqliteConnection, number: i64) -> Result<u32, StoreError> {
    let row = sqlx::query(
        "UPDATE interactions SET resumes = resumes + 1 WHERE number = $1 RETURNING resumes",
    )
    .bind(number)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

async fn discount_resume(connection: &mut SqliteConnection, number: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE interactions SET resumes = resumes - 1 WHERE number = $1 AND resumes > 0")
        .bind(number)
        .execute(connection)
        .await?;
    Ok(())
}

async fn delete_rows(
    connection: &mut SqliteConnection,
    number: i64,
) -> Result<Vec<String>, StoreError> {
    transaction::begin(connection).await?;
    let deleted = delete_rows_in(connection, number).await;
    transaction::end(connection, deleted).await
}

async fn delete_rows_in(
    connection: &mut SqliteConnection,
    number: i64,
) -> Result<Vec<String>, StoreError> {
    let unused = sqlx::query(
        "SELECT sha256 FROM blob_uses AS mine WHERE interaction = $1 AND NOT EXISTS \
         (SELECT 1 FROM blob_uses WHERE sha256 = mine.sha256 AND interaction <> $1) \
         AND NOT EXISTS (SELECT 1 FROM files WHERE sha256 = mine.sha256)",
    )
    .bind(number)
    .fetch_all(&mut *connection)
    .await?;
    for statement in [
        "DELETE FROM blob_uses WHERE interaction = $1",
        "DELETE FROM events WHERE interaction = $1",
        "DELETE FROM interactions WHERE number = $1",
    ] {
        sqlx::query(statement).bind(number).execute(&mut *connection).await?;
    }
    Ok(unused.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}
