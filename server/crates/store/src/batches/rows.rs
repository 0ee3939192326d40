//! Reading the rows of batches.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::{BatchMethod, BatchState, StoredBatch};
use crate::{Owner, RecordError, StoreError, load};

/// The result of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchResult {
    /// JSON that the client gave the request.
    pub key: Option<String>,
    /// JSON: an object with `response` or `error`.
    pub response: String,
}

pub async fn find(
    database: &SqlitePool,
    owner: &Owner,
    id: &str,
) -> Result<Option<StoredBatch>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM batches WHERE owner = $1 AND id = $2 AND state <> 'creating'")
            .bind(owner.name())
            .bind(id)
            .fetch_optional(database)
            .await?;
    row.as_ref().map(read).transpose()
}

pub async fn list(
    database: &SqlitePool,
    owner: &Owner,
    after: &str,
    size: usize,
) -> Result<Vec<StoredBatch>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM batches WHERE owner = $1 AND id > $2 AND state <> 'creating' \
         ORDER BY id LIMIT $3",
    )
    .bind(owner.name())
    .bind(after)
    .bind(i64::try_from(size).unwrap_or(i64::MAX))
    .fetch_all(database)
    .await?;
    rows.iter().map(read).collect()
}

pub async fn unfinished(database: &SqlitePool) -> Result<Vec<StoredBatch>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM batches WHERE state IN ('pending', 'running') ORDER BY number")
            .fetch_all(database)
            .await?;
    rows.iter().map(read).collect()
}

pub async fn open_lines(database: &SqlitePool, id: &str) -> Result<Vec<(u64, usize)>, StoreError> {
    let rows = sqlx::query(
        "SELECT line, octet_length(request) FROM batch_requests \
         WHERE batch = $1 AND response IS NULL ORDER BY line",
    )
    .bind(id)
    .fetch_all(database)
    .await?;
    let line = |row: &SqliteRow| {
        let (line, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok((line.unsigned_abs(), usize::try_from(bytes).unwrap_or(usize::MAX)))
    };
    rows.iter().map(line).collect()
}

pub async fn request(
    database: &SqlitePool,
    id: &str,
    line: u64,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT request FROM batch_requests WHERE batch = $1 AND line = $2")
        .bind(id)
        .bind(i64::try_from(line).unwrap_or(i64::MAX))
        .fetch_optional(database)
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

pub async fn result_bytes(
    database: &SqlitePool,
    id: &str,
    line: u64,
) -> Result<Option<usize>, StoreError> {
    let row = sqlx::query(
        "SELECT octet_length(response) + coalesce(octet_length(key), 0) FROM batch_requests \
         WHERE batch = $1 AND line = $2 AND response IS NOT NULL",
    )
    .bind(id)
    .bind(i64::try_from(line).unwrap_or(i64::MAX))
    .fetch_optional(database)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX)))
}

pub async fn result(
    database: &SqlitePool,
    id: &str,
    line: u64,
) -> Result<Option<BatchResult>, StoreError> {
    let row = sqlx::query(
        "SELECT key, response FROM batch_requests \
         WHERE batch = $1 AND line = $2 AND response IS NOT NULL",
    )
    .bind(id)
    .bind(i64::try_from(line).unwrap_or(i64::MAX))
    .fetch_optional(database)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(BatchResult { key: row.try_get(0)?, response: row.try_get(1)? }))
}

fn read(row: &SqliteRow) -> Result<StoredBatch, StoreError> {
    let count =
        |name: &str| -> Result<u64, StoreError> { Ok(row.try_get::<i64, _>(name)?.unsigned_abs()) };
    let state: String = row.try_get("state")?;
    let state: Result<BatchState, _> = state.parse();
    let method: String = row.try_get("method")?;
    let method: Result<BatchMethod, _> = method.parse();
    let ended: Option<i64> = row.try_get("ended_ms")?;
    Ok(StoredBatch {
        id: row.try_get("id")?,
        owner: Owner::named(row.try_get("owner")?),
        namespace: row.try_get("namespace")?,
        model: row.try_get("model")?,
        method: method.map_err(|error| RecordError::Json(error.to_string()))?,
        display_name: row.try_get("display_name")?,
        is_file: row.try_get("is_file")?,
        state: state.map_err(|error| RecordError::Json(error.to_string()))?,
        created: load::time(row, "created_ms")?,
        updated: load::time(row, "updated_ms")?,
        ended: ended.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        requests: count("requests")?,
        succeeded: count("succeeded")?,
        failed: count("failed")?,
        request_bytes: count("request_bytes")?,
        response_bytes: count("response_bytes")?,
    })
}
