//! Reading from the disk: logs that have ended, and what a server finds when it starts.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqlStr};

use super::blobs::BlobStore;
use super::log::{Entry, Log};
use super::record::{self, RecordError};
use super::{Head, StoreError};
use crate::interaction::{Event, Failure, FailureKind};

const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "interactions", include_str!("../../migrations/1_interactions.sql"))];

/// Brings the tables up to date.
pub async fn migrate(database: &SqlitePool) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        let sql = SqlStr::from_static(sql);
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    migrator.run(database).await.map_err(|error| StoreError::Migration(Arc::new(error)))
}

/// Ends the logs that have no last event: their server died.
pub async fn bury_the_dead(database: &SqlitePool, now: Timestamp) -> Result<(), StoreError> {
    let failed = Event::Failed(Failure {
        kind: FailureKind::Internal,
        message: "The server stopped before this interaction ended.".to_owned(),
    });
    let done = sqlx::query(
        "INSERT INTO events (interaction, number, at_ms, is_last, record) \
         SELECT interactions.number, \
           (SELECT coalesce(max(number) + 1, 0) FROM events WHERE interaction = interactions.number), \
           $1, 1, $2 \
         FROM interactions WHERE \
           (SELECT is_last FROM events WHERE interaction = interactions.number \
            ORDER BY number DESC LIMIT 1) IS NOT 1",
    )
    .bind(now.as_millisecond())
    .bind(record::of_event(&failed, &mut record::Blobs::default()))
    .execute(database)
    .await?;
    if done.rows_affected() > 0 {
        tracing::warn!(
            interactions = done.rows_affected(),
            "interactions that the last server did not end were marked as failed"
        );
    }
    Ok(())
}

/// The number that the next interaction gets.
pub async fn next_number(database: &SqlitePool) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT coalesce(max(number) + 1, 1) FROM interactions")
        .fetch_one(database)
        .await?;
    Ok(row.try_get(0)?)
}

/// What stands for an interaction in the tables.
pub async fn number(database: &SqlitePool, id: &str) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query("SELECT number FROM interactions WHERE id = $1")
        .bind(id)
        .fetch_optional(database)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The log of an interaction that does not grow any more.
pub async fn log(
    database: &SqlitePool,
    blobs: &BlobStore,
    id: &str,
) -> Result<Option<Arc<Log>>, StoreError> {
    let row = sqlx::query(
        "SELECT number, model, previous_id, created_ms, input FROM interactions WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let number: i64 = row.try_get("number")?;
    let events =
        sqlx::query("SELECT at_ms, record FROM events WHERE interaction = $1 ORDER BY number")
            .bind(number)
            .fetch_all(database)
            .await?;
    let addresses = sqlx::query("SELECT sha256 FROM blob_uses WHERE interaction = $1")
        .bind(number)
        .fetch_all(database)
        .await?;
    let addresses = addresses.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let blobs = blobs.get(addresses).await?;

    let head = Head {
        id: id.to_owned(),
        model: row.try_get("model")?,
        previous_interaction_id: row.try_get("previous_id")?,
        input: record::steps(row.try_get("input")?, &blobs)?,
    };
    let entries = events.iter().map(|row| {
        let event = record::event(row.try_get("record")?, &blobs)?;
        Ok(Entry { at: time(row, "at_ms")?, event })
    });
    let entries = entries.collect::<Result<_, StoreError>>()?;
    Ok(Some(Arc::new(Log::ended(head, time(&row, "created_ms")?, entries))))
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    let ms: i64 = row.try_get(column)?;
    Timestamp::from_millisecond(ms).map_err(|_| RecordError::Time(ms).into())
}
