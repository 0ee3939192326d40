//! Changes of the rows of batches, each in one transaction.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Row, Sqlite};

use super::{
    BatchLine, BatchState, ERROR_BYTES, MAX_BATCH_BYTES, MAX_BATCHES, MAX_OPEN_BATCHES, StoredBatch,
};
use crate::transaction::RowChange;
use crate::{Owner, StoreError};

/// Upper bound of a row's size in the database without its content.
const ROW_BYTES: u64 = 3 * 4096;
/// Rows of one statement.
const STATEMENT_ROWS: usize = 1000;

#[derive(Debug, Clone)]
pub enum BatchChange {
    Create(StoredBatch),
    /// Adds requests, the first of which has this number.
    Add {
        id: String,
        first: usize,
        bytes: usize,
        lines: Arc<[BatchLine]>,
    },
    /// All requests are there; this many of them have failed already.
    Submit {
        id: String,
        failed: usize,
    },
    Begin {
        id: String,
        now: Timestamp,
    },
    Suspend {
        id: String,
    },
    Finish {
        id: String,
        line: u64,
        response: Arc<str>,
        failed: bool,
        now: Timestamp,
    },
    End {
        id: String,
        state: BatchState,
        now: Timestamp,
    },
    Delete {
        owner: Owner,
        id: String,
    },
    Sweep {
        before: Timestamp,
    },
    Abandon,
}

impl RowChange for BatchChange {
    /// The number of changed rows; of [`BatchChange::Begin`] the number of starts.
    type Applied = u64;

    fn makes_room(&self) -> bool {
        use BatchChange::{Abandon, Delete, Sweep};
        matches!(self, Delete { .. } | Sweep { .. } | Abandon)
    }

    fn bytes(&self) -> u64 {
        let (content, rows) = match self {
            BatchChange::Add { bytes, lines, .. } => (*bytes as u64, lines.len() as u64),
            BatchChange::Finish { response, .. } => (response.len() as u64, 2),
            _ => (0, 1),
        };
        content + content / 256 + rows * ROW_BYTES
    }

    async fn apply_in(self, transaction: &mut SqliteConnection) -> Result<u64, StoreError> {
        let query = match self {
            BatchChange::Create(batch) => return create(transaction, batch).await,
            BatchChange::Add { id, first, lines, .. } => {
                return add(transaction, &id, first, &lines).await;
            }
            BatchChange::Begin { id, now } => return begin(transaction, &id, now).await,
            BatchChange::Finish { id, line, response, failed, now } => {
                return finish(transaction, &id, line, &response, failed, now).await;
            }
            BatchChange::Delete { owner, id } => return delete(transaction, &owner, &id).await,
            BatchChange::Sweep { before } => {
                sqlx::query("DELETE FROM batches WHERE ended_ms < $1")
                    .bind(before.as_millisecond())
                    .execute(&mut *transaction)
                    .await?;
                return delete_orphans(transaction).await;
            }
            BatchChange::Abandon => {
                sqlx::query("DELETE FROM batches WHERE state = 'creating'")
                    .execute(&mut *transaction)
                    .await?;
                return delete_orphans(transaction).await;
            }
            BatchChange::Submit { id, failed } => {
                sqlx::query("UPDATE batches SET state = 'pending', failed = $1 WHERE id = $2")
                    .bind(signed(failed as u64))
                    .bind(id)
            }
            BatchChange::Suspend { id } => {
                sqlx::query("UPDATE batches SET starts = starts - 1 WHERE id = $1 AND starts > 0")
                    .bind(id)
            }
            BatchChange::End { id, state, now } => sqlx::query(
                "UPDATE batches SET state = $1, updated_ms = $2, ended_ms = $2 \
                 WHERE id = $3 AND state IN ('pending', 'running')",
            )
            .bind(state.as_str())
            .bind(now.as_millisecond())
            .bind(id),
        };
        Ok(query.execute(transaction).await?.rows_affected())
    }
}

async fn create(transaction: &mut SqliteConnection, batch: StoredBatch) -> Result<u64, StoreError> {
    let Sums { batches, open, bytes } = sums(transaction, batch.owner.name()).await?;
    let is_full = bytes.saturating_add(batch.request_bytes) > MAX_BATCH_BYTES;
    if is_full || open >= MAX_OPEN_BATCHES || batches >= MAX_BATCHES {
        return Ok(0);
    }
    let done = sqlx::query(
        "INSERT INTO batches (owner, id, namespace, model, display_name, is_file, state, created_ms, \
         updated_ms, requests, request_bytes, method) \
         VALUES ($1, $2, $3, $4, $5, $6, 'creating', $7, $8, $9, $10, $11)",
    )
    .bind(batch.owner.name())
    .bind(&batch.id)
    .bind(&batch.namespace)
    .bind(&batch.model)
    .bind(&batch.display_name)
    .bind(batch.is_file)
    .bind(batch.created.as_millisecond())
    .bind(batch.updated.as_millisecond())
    .bind(signed(batch.requests))
    .bind(signed(batch.request_bytes))
    .bind(batch.method.as_str())
    .execute(transaction)
    .await?;
    Ok(done.rows_affected())
}

/// All batches of an owner together.
struct Sums {
    batches: u64,
    /// Those that have not ended.
    open: u64,
    /// Of requests and results.
    bytes: u64,
}

async fn sums(transaction: &mut SqliteConnection, owner: &str) -> Result<Sums, StoreError> {
    let sums = sqlx::query(
        "SELECT count(*), coalesce(sum(ended_ms IS NULL), 0), \
         coalesce(sum(request_bytes + response_bytes), 0) FROM batches WHERE owner = $1",
    )
    .bind(owner)
    .fetch_one(transaction)
    .await?;
    let sum = |column| sums.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Sums { batches: sum(0)?, open: sum(1)?, bytes: sum(2)? })
}

async fn add(
    transaction: &mut SqliteConnection,
    id: &str,
    first: usize,
    lines: &[BatchLine],
) -> Result<u64, StoreError> {
    for (at, rows) in lines.chunks(STATEMENT_ROWS).enumerate() {
        let first = first + at * STATEMENT_ROWS;
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO batch_requests (batch, line, key, request, response) ",
        );
        query.push_values(rows.iter().enumerate(), |mut row, (at, line)| {
            row.push_bind(id)
                .push_bind(signed((first + at) as u64))
                .push_bind(line.key.as_deref())
                .push_bind(&line.request)
                .push_bind(line.response.as_deref());
        });
        query.build().execute(&mut *transaction).await?;
    }
    Ok(lines.len() as u64)
}

async fn begin(
    transaction: &mut SqliteConnection,
    id: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "UPDATE batches SET state = 'running', updated_ms = $1, starts = starts + 1 \
         WHERE id = $2 AND state IN ('pending', 'running') RETURNING starts",
    )
    .bind(now.as_millisecond())
    .bind(id)
    .fetch_optional(transaction)
    .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))?)
}

async fn finish(
    transaction: &mut SqliteConnection,
    id: &str,
    line: u64,
    response: &str,
    failed: bool,
    now: Timestamp,
) -> Result<u64, StoreError> {
    if response.len() > ERROR_BYTES {
        let owner = sqlx::query("SELECT owner FROM batches WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(owner) = owner else { return Ok(0) };
        let Sums { bytes, .. } = sums(transaction, owner.try_get(0)?).await?;
        if bytes.saturating_add(response.len() as u64) > MAX_BATCH_BYTES {
            return Ok(0);
        }
    }
    let done = sqlx::query(
        "UPDATE batches SET succeeded = succeeded + $1, failed = failed + $2, \
         response_bytes = response_bytes + $3, updated_ms = $4 WHERE id = $5 AND state = 'running'",
    )
    .bind(i64::from(!failed))
    .bind(i64::from(failed))
    .bind(signed(response.len() as u64))
    .bind(now.as_millisecond())
    .bind(id)
    .execute(&mut *transaction)
    .await?;
    if done.rows_affected() > 0 {
        sqlx::query("UPDATE batch_requests SET response = $1 WHERE batch = $2 AND line = $3")
            .bind(response)
            .bind(id)
            .bind(signed(line))
            .execute(transaction)
            .await?;
    }
    Ok(done.rows_affected())
}

async fn delete(
    transaction: &mut SqliteConnection,
    owner: &Owner,
    id: &str,
) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM batches WHERE owner = $1 AND id = $2")
        .bind(owner.name())
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    if done.rows_affected() > 0 {
        sqlx::query("DELETE FROM batch_requests WHERE batch = $1")
            .bind(id)
            .execute(transaction)
            .await?;
    }
    Ok(done.rows_affected())
}

/// Deletes requests without a batch.
async fn delete_orphans(transaction: &mut SqliteConnection) -> Result<u64, StoreError> {
    let done =
        sqlx::query("DELETE FROM batch_requests WHERE batch NOT IN (SELECT id FROM batches)")
            .execute(transaction)
            .await?;
    Ok(done.rows_affected())
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
