//! The one task that writes to the database. What is queued while a transaction runs goes into the
//! next one together, so that many interactions share the price of one commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, QueryBuilder, Row, Sqlite, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::blobs::Pin;
use super::log::{Disk, Entry, Log, is_last};
use super::{Head, StoreError};

/// Jobs that wait. Whoever comes after that waits for a place.
const MAX_QUEUED: usize = 4096;
/// Jobs of one transaction.
const MAX_BATCH: usize = 1024;
/// Rows of one statement. Few lengths, so that each statement is prepared once and found again.
const STATEMENT_ROWS: [usize; 4] = [128, 32, 8, 1];

/// The way to the task. It ends when nobody holds this any more.
#[derive(Debug, Clone)]
pub struct Writer(mpsc::Sender<Job>);

#[derive(Debug)]
enum Job {
    Append(Append, oneshot::Sender<Result<(), StoreError>>),
    Delete {
        number: i64,
        log: Option<Arc<Log>>,
        done: oneshot::Sender<Result<Vec<String>, StoreError>>,
    },
    Close(oneshot::Sender<()>),
}

/// Events of one log, on their way to the disk.
#[derive(Debug)]
pub struct Append {
    pub log: Arc<Log>,
    /// JSON of the input, where the interaction begins with this.
    pub input: Option<String>,
    pub entries: Vec<Entry>,
    /// JSON of each entry's event.
    pub records: Vec<String>,
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
    ) -> Result<Writer, StoreError> {
        let connection = SqliteConnection::connect_with(options).await?;
        let (sender, jobs) = mpsc::channel(MAX_QUEUED);
        tokio::spawn(write(connection, jobs, lock));
        Ok(Writer(sender))
    }

    pub async fn append(&self, append: Append) -> Result<(), StoreError> {
        let (done, written) = oneshot::channel();
        let log = Arc::clone(&append.log);
        let sent = self.0.send(Job::Append(append, done)).await;
        match (sent, written.await) {
            (Ok(()), Ok(result)) => result,
            _ => {
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
    lock: std::fs::File,
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
                    commit(&mut connection, std::mem::take(&mut appends)).await;
                    let result = delete(&mut connection, number).await;
                    if let (Ok(_), Some(disk)) = (&result, log.as_ref().and_then(|log| log.disk()))
                    {
                        disk.deleted.store(true, Ordering::Relaxed);
                    }
                    // Whoever asked may have gone away.
                    let _ = done.send(result);
                }
                Job::Close(done) => closing = Some(done),
            }
        }
        commit(&mut connection, appends).await;
    }
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
) {
    if appends.is_empty() {
        return;
    }
    let rows = Rows::of(appends.iter().map(|(append, _)| append));
    let result = insert(connection, &rows).await;
    for (append, done) in appends {
        match &result {
            Ok(()) => append.log.publish(append.entries),
            // Its writer may be gone, and its readers must not wait for what cannot come.
            Err(_) => append.log.close(),
        }
        let _ = done.send(result.clone());
    }
}

/// What one transaction writes.
#[derive(Debug, Default)]
struct Rows<'a> {
    interactions: Vec<InteractionRow<'a>>,
    events: Vec<EventRow<'a>>,
    uses: Vec<(&'a str, i64)>,
}

#[derive(Debug)]
struct InteractionRow<'a> {
    number: i64,
    head: &'a Head,
    created_ms: i64,
    input: &'a str,
}

#[derive(Debug)]
struct EventRow<'a> {
    interaction: i64,
    number: i64,
    at_ms: i64,
    is_last: bool,
    record: &'a str,
}

impl<'a> Rows<'a> {
    fn of(appends: impl Iterator<Item = &'a Append>) -> Rows<'a> {
        let mut rows = Rows::default();
        for append in appends {
            match append.log.disk() {
                Some(disk) if !disk.deleted.load(Ordering::Relaxed) => rows.add(disk, append),
                _ => {}
            }
        }
        rows
    }

    fn add(&mut self, disk: &Disk, append: &'a Append) {
        let interaction = disk.number;
        if let Some(input) = &append.input {
            let created_ms = append.log.created().as_millisecond();
            let head = append.log.head();
            self.interactions.push(InteractionRow { number: interaction, head, created_ms, input });
        }
        let first = disk.rows.fetch_add(append.entries.len(), Ordering::Relaxed);
        let events = append.entries.iter().zip(&append.records).enumerate();
        self.events.extend(events.map(|(at, (entry, record))| EventRow {
            interaction,
            number: i64::try_from(first + at).expect("no log has 2^63 events"),
            at_ms: entry.at.as_millisecond(),
            is_last: is_last(&entry.event),
            record,
        }));
        self.uses.extend(append.blobs.iter().map(|address| (address.as_str(), interaction)));
    }
}

async fn insert(connection: &mut SqliteConnection, rows: &Rows<'_>) -> Result<(), StoreError> {
    let mut transaction = connection.begin().await?;
    for rows in pieces(&rows.interactions) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO interactions (number, id, model, previous_id, created_ms, input) ",
        );
        query.push_values(rows, |mut row, interaction| {
            row.push_bind(interaction.number)
                .push_bind(&interaction.head.id)
                .push_bind(&interaction.head.model)
                .push_bind(interaction.head.previous_interaction_id.as_deref())
                .push_bind(interaction.created_ms)
                .push_bind(interaction.input);
        });
        execute(query, &mut transaction).await?;
    }
    for rows in pieces(&rows.events) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO events (interaction, number, at_ms, is_last, record) ",
        );
        query.push_values(rows, |mut row, event| {
            row.push_bind(event.interaction)
                .push_bind(event.number)
                .push_bind(event.at_ms)
                .push_bind(event.is_last)
                .push_bind(event.record);
        });
        execute(query, &mut transaction).await?;
    }
    for rows in pieces(&rows.uses) {
        let mut query =
            QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO blob_uses (sha256, interaction) ");
        query.push_values(rows, |mut row, (address, interaction)| {
            row.push_bind(*address).push_bind(*interaction);
        });
        execute(query, &mut transaction).await?;
    }
    Ok(transaction.commit().await?)
}

async fn execute(
    mut query: QueryBuilder<Sqlite>,
    transaction: &mut Transaction<'_, Sqlite>,
) -> Result<(), StoreError> {
    query.build().execute(&mut **transaction).await?;
    Ok(())
}

/// Cuts rows into pieces of the lengths that statements have.
fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = STATEMENT_ROWS.into_iter().find(|length| *length <= rows.len())?;
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

async fn delete(connection: &mut SqliteConnection, number: i64) -> Result<Vec<String>, StoreError> {
    let mut transaction = connection.begin().await?;
    let unused = sqlx::query(
        "SELECT sha256 FROM blob_uses AS mine WHERE interaction = $1 AND NOT EXISTS \
         (SELECT 1 FROM blob_uses WHERE sha256 = mine.sha256 AND interaction <> $1)",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_rows_in_their_order() {
        for count in [0, 1, 7, 8, 41, 128, 1000] {
            let rows: Vec<usize> = (0..count).collect();
            assert_eq!(pieces(&rows).flatten().copied().collect::<Vec<_>>(), rows);
            assert!(pieces(&rows).all(|piece| STATEMENT_ROWS.contains(&piece.len())));
        }
    }
}
