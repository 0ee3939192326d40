//! Reading from the disk: logs that have ended, and the checks at the start of a server.

use std::borrow::Cow;

use jiff::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Row, SqlStr};
use tokio::task::spawn_blocking;

use super::blobs::BlobStore;
use super::log::{Log, LogEntry};
use super::record::{self, RecordError};
use super::{Head, Owner, StoreError};
use domain::interaction::{Event, Failure, FailureKind};

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "interactions", include_str!("../migrations/1_interactions.sql")),
    (2, "files", include_str!("../migrations/2_files.sql")),
    (3, "orders", include_str!("../migrations/3_orders.sql")),
    (4, "owner", include_str!("../migrations/4_owner.sql")),
    (5, "held", include_str!("../migrations/5_held.sql")),
    (6, "resumed", include_str!("../migrations/6_resumed.sql")),
    (7, "resumptions", include_str!("../migrations/7_resumptions.sql")),
    (8, "memory", include_str!("../migrations/8_memory.sql")),
    (9, "cached_contents", include_str!("../migrations/9_cached_contents.sql")),
    (10, "batches", include_str!("../migrations/10_batches.sql")),
    (11, "batch_methods", include_str!("../migrations/11_batch_methods.sql")),
    (12, "file_search", include_str!("../migrations/12_file_search.sql")),
    (13, "interactions_by_owner", include_str!("../migrations/13_interactions_by_owner.sql")),
];

/// Checks the whole database for damage. Refusing to start is better than wrong answers.
pub async fn check(database: &SqlitePool) -> Result<(), StoreError> {
    let found = sqlx::query("PRAGMA quick_check(1)").fetch_one(database).await?;
    match found.try_get::<String, _>(0)? {
        ok if ok == "ok" => Ok(()),
        damage => Err(StoreError::DamagedDatabase(damage)),
    }
}

pub async fn has_no_tables(database: &SqlitePool) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT count(*) FROM sqlite_master").fetch_one(database).await?;
    Ok(row.try_get::<i64, _>(0)? == 0)
}

/// Runs the migrations that the database lacks.
pub async fn migrate(database: &SqlitePool) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.iter().map(|(version, name, sql)| {
        let sql = SqlStr::from_static(sql);
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    Ok(migrator.run(database).await?)
}

/// Longer rows are parsed on a blocking thread.
const INLINE_BYTES: usize = 256 << 10;

/// An interaction read from the disk.
#[derive(Debug)]
pub struct Read {
    pub number: i64,
    pub head: Head,
    pub created: Timestamp,
    pub entries: Vec<LogEntry>,
}

/// Background interactions without a last event. One that cannot be read loses its `orders`, so
/// [`fail_orphaned`] ends it.
pub async fn unfinished(database: &SqlitePool, blobs: &BlobStore) -> Result<Vec<Read>, StoreError> {
    let rows = sqlx::query(
        "SELECT id FROM interactions WHERE orders IS NOT NULL AND \
           (SELECT is_last FROM events WHERE interaction = interactions.number \
            ORDER BY number DESC LIMIT 1) IS NOT 1 ORDER BY number",
    )
    .fetch_all(database)
    .await?;
    let mut found = Vec::new();
    for row in rows {
        let id: String = row.try_get(0)?;
        match read(database, blobs, None, &id).await {
            Ok(read) => found.extend(read),
            Err(error) => {
                // The error itself may contain stored data.
                let error = error.kind();
                tracing::error!(interaction.id = %id, error, "interaction cannot be resumed");
                sqlx::query("UPDATE interactions SET orders = NULL WHERE id = $1")
                    .bind(&id)
                    .execute(database)
                    .await?;
            }
        }
    }
    Ok(found)
}

/// Appends a failure to logs without a last event that cannot be resumed, because their server died.
pub async fn fail_orphaned(database: &SqlitePool, now: Timestamp) -> Result<(), StoreError> {
    let why = "The server stopped before this interaction ended.";
    let failed = Event::Failed(Failure::new(FailureKind::Internal, why));
    let done = sqlx::query(
        "INSERT INTO events (interaction, number, at_ms, is_last, record) \
         SELECT interactions.number, \
           (SELECT coalesce(max(number) + 1, 0) FROM events WHERE interaction = interactions.number), \
           $1, 1, $2 \
         FROM interactions WHERE orders IS NULL AND \
           (SELECT is_last FROM events WHERE interaction = interactions.number \
            ORDER BY number DESC LIMIT 1) IS NOT 1",
    )
    .bind(now.as_millisecond())
    .bind(record::of_events([&failed].into_iter(), &mut record::Blobs::default()))
    .execute(database)
    .await?;
    if done.rows_affected() > 0 {
        tracing::warn!(
            interactions = done.rows_affected(),
            "interrupted interactions marked as failed"
        );
    }
    Ok(())
}

/// The number of the next interaction.
pub async fn next_number(database: &SqlitePool) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT coalesce(max(number) + 1, 1) FROM interactions")
        .fetch_one(database)
        .await?;
    Ok(row.try_get(0)?)
}

/// Number, id and time of the interactions with the smallest numbers above this one.
pub async fn oldest(
    database: &SqlitePool,
    after: i64,
    most: usize,
) -> Result<Vec<(i64, String, Timestamp)>, StoreError> {
    let rows = sqlx::query(
        "SELECT number, id, created_ms FROM interactions WHERE number > $1 ORDER BY number LIMIT $2",
    )
    .bind(after)
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .fetch_all(database)
    .await?;
    let row = |row: &SqliteRow| {
        Ok((row.try_get("number")?, row.try_get("id")?, time(row, "created_ms")?))
    };
    rows.iter().map(row).collect()
}

/// The number by which the tables refer to an interaction.
pub async fn number(
    database: &SqlitePool,
    owner: Option<&Owner>,
    id: &str,
) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(
        "SELECT number FROM interactions WHERE id = $1 AND owner = coalesce($2, owner)",
    )
    .bind(id)
    .bind(owner.map(Owner::name))
    .fetch_optional(database)
    .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The addresses of the blobs of an interaction; empty if there is no such interaction.
pub async fn blobs(
    database: &SqlitePool,
    owner: &Owner,
    id: &str,
) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query(
        "SELECT sha256 FROM blob_uses JOIN interactions ON blob_uses.interaction = interactions.number \
         WHERE interactions.id = $1 AND interactions.owner = $2",
    )
    .bind(id)
    .bind(owner.name())
    .fetch_all(database)
    .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The size of a stored interaction, and the one before it.
#[derive(Debug)]
pub struct StoredSize {
    /// Estimated memory of its rows once they are read.
    pub row_bytes: usize,
    /// Of its pictures and files.
    pub blob_bytes: usize,
    pub previous_id: Option<String>,
}

/// The size of an interaction of this owner. Rows of older servers have no estimate.
pub async fn size(
    database: &SqlitePool,
    stored: &BlobStore,
    owner: &Owner,
    id: &str,
) -> Result<Option<StoredSize>, StoreError> {
    let row = sqlx::query(
        "SELECT previous_id, coalesce(memory, 30 * octet_length(input)) + \
           (SELECT coalesce(sum(coalesce(memory, 30 * octet_length(record))), 0) \
            FROM events WHERE interaction = interactions.number) \
         FROM interactions WHERE id = $1 AND owner = $2",
    )
    .bind(id)
    .bind(owner.name())
    .fetch_optional(database)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let blob_bytes = stored.bytes(&blobs(database, owner, id).await?).await?;
    Ok(Some(StoredSize {
        row_bytes: usize::try_from(row.try_get::<i64, _>(1)?).unwrap_or(usize::MAX),
        blob_bytes: usize::try_from(blob_bytes).unwrap_or(usize::MAX),
        previous_id: row.try_get(0)?,
    }))
}

/// The log of an interaction that has ended.
pub async fn log(
    database: &SqlitePool,
    blobs: &BlobStore,
    owner: &Owner,
    id: &str,
) -> Result<Option<Log>, StoreError> {
    let read = read(database, blobs, Some(owner), id).await?;
    Ok(read.map(|read| Log::ended(read.head, read.created, read.entries)))
}

/// Reads an interaction of this owner, or of any owner if there is none.
async fn read(
    database: &SqlitePool,
    blobs: &BlobStore,
    owner: Option<&Owner>,
    id: &str,
) -> Result<Option<Read>, StoreError> {
    let row = sqlx::query(
        "SELECT number, model, previous_id, created_ms, input, orders, owner FROM interactions \
         WHERE id = $1 AND owner = coalesce($2, owner)",
    )
    .bind(id)
    .bind(owner.map(Owner::name))
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

    let id = id.to_owned();
    let bytes = text_bytes(&row, "input")?
        + events.iter().map(|row| text_bytes(row, "record")).sum::<Result<usize, _>>()?;
    let parse = move || parsed(id, &row, &events, &blobs);
    if bytes <= INLINE_BYTES {
        return parse().map(Some);
    }
    spawn_blocking(parse).await.map_err(|_| StoreError::Closed)?.map(Some)
}

fn text_bytes(row: &SqliteRow, column: &str) -> Result<usize, StoreError> {
    Ok(row.try_get::<&str, _>(column)?.len())
}

fn parsed(
    id: String,
    row: &SqliteRow,
    events: &[SqliteRow],
    blobs: &record::Blobs,
) -> Result<Read, StoreError> {
    let head = Head {
        id,
        model: row.try_get("model")?,
        previous_interaction_id: row.try_get("previous_id")?,
        input: record::steps(row.try_get("input")?, blobs)?,
        resume_state: row.try_get("orders")?,
        owner: Owner::named(row.try_get("owner")?),
    };
    let mut entries = Vec::new();
    for row in events {
        let at = time(row, "at_ms")?;
        let events = record::events(row.try_get("record")?, blobs)?;
        entries.extend(events.into_iter().map(|event| LogEntry { at, event }));
    }
    let (number, created) = (row.try_get("number")?, time(row, "created_ms")?);
    Ok(Read { number, head, created, entries })
}

pub fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    let ms: i64 = row.try_get(column)?;
    Timestamp::from_millisecond(ms).map_err(|_| RecordError::Time(ms).into())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// A database remembers the text of its migrations, and a server with another text does not open it.
    /// A new migration adds a row here. No row ever changes.
    #[test]
    fn migrations_do_not_change() {
        let begin = |sql: &str| {
            Sha256::digest(sql)[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let begins: Vec<u64> = MIGRATIONS.iter().map(|(.., sql)| begin(sql)).collect();
        let wanted = [
            16_498_258_585_759_572_544,
            6_496_311_935_678_696_985,
            14_319_826_372_350_534_267,
            6_118_308_960_286_353_773,
            10_346_191_042_788_490_023,
            3_890_554_758_028_571_484,
            3_078_512_131_249_153_776,
            4_434_863_352_355_792_305,
            12_579_618_130_781_019_667,
            917_350_257_323_039_631,
            16_902_769_609_427_003_031,
            5_248_930_524_304_192_974,
            12_752_610_645_894_403_872,
        ];
        assert_eq!(begins, wanted);
    }
}
