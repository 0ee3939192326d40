//! Changes that the writer makes to the rows of files and uploads, each in one transaction.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{FileLimits, StoredFile, Upload};
use crate::transaction::RowChange;
use crate::{Owner, StoreError};

/// Upper bound of the growth of the database by one change.
const CHANGE_BYTES: u64 = 64 << 10;

#[derive(Debug, Clone)]
pub enum Change {
    Begin {
        upload: Upload,
        limits: FileLimits,
        /// Maximum number of the owner's files and uploads, including this one.
        count: u64,
    },
    /// Reserves this many bytes of the owner's quota for an upload.
    Hold {
        upload: String,
        bytes: u64,
        limits: FileLimits,
    },
    Finish {
        upload: String,
        owner: Owner,
        file: StoredFile,
    },
    Cancel {
        upload: String,
    },
    Delete {
        owner: Owner,
        id: String,
    },
    Expire {
        now: Timestamp,
        begun_before: Timestamp,
    },
}

/// The result of a change.
#[derive(Debug)]
pub enum Applied {
    /// `unused` are the blobs that no row refers to any more.
    Done { unused: Vec<String> },
    /// A file or an upload of this name exists.
    Taken,
    /// The change would exceed the owner's quota.
    Full,
    /// The upload does not exist.
    Gone { unused: Vec<String> },
}

const DONE: Applied = Applied::Done { unused: Vec::new() };

impl RowChange for Change {
    type Applied = Applied;

    fn makes_room(&self) -> bool {
        match self {
            Change::Cancel { .. } | Change::Delete { .. } | Change::Expire { .. } => true,
            Change::Begin { .. } | Change::Hold { .. } | Change::Finish { .. } => false,
        }
    }

    fn bytes(&self) -> u64 {
        CHANGE_BYTES
    }

    async fn apply_in(self, transaction: &mut SqliteConnection) -> Result<Applied, StoreError> {
        Ok(match self {
            Change::Begin { upload, limits, count } => {
                begin(transaction, upload, limits, count).await?
            }
            Change::Hold { upload, bytes, limits } => {
                hold(transaction, &upload, bytes, limits).await?
            }
            Change::Finish { upload, owner, file } => {
                finish(transaction, upload, owner, file).await?
            }
            Change::Cancel { upload } => {
                sqlx::query("DELETE FROM uploads WHERE id = $1")
                    .bind(upload)
                    .execute(&mut *transaction)
                    .await?;
                DONE
            }
            Change::Delete { owner, id } => {
                let gone =
                    sqlx::query("DELETE FROM files WHERE owner = $1 AND id = $2 RETURNING sha256")
                        .bind(owner.name())
                        .bind(id)
                        .fetch_all(&mut *transaction)
                        .await?;
                Applied::Done { unused: unused(transaction, &gone).await? }
            }
            Change::Expire { now, begun_before } => {
                sqlx::query("DELETE FROM uploads WHERE begun_ms < $1")
                    .bind(begun_before.as_millisecond())
                    .execute(&mut *transaction)
                    .await?;
                let gone = sqlx::query("DELETE FROM files WHERE expires_ms <= $1 RETURNING sha256")
                    .bind(now.as_millisecond())
                    .fetch_all(&mut *transaction)
                    .await?;
                Applied::Done { unused: unused(transaction, &gone).await? }
            }
        })
    }
}

async fn begin(
    transaction: &mut SqliteConnection,
    upload: Upload,
    limits: FileLimits,
    count: u64,
) -> Result<Applied, StoreError> {
    let taken = sqlx::query(
        "SELECT 1 FROM files WHERE owner = $1 AND id = $2 \
         UNION ALL SELECT 1 FROM uploads WHERE owner = $1 AND file = $2",
    )
    .bind(upload.owner.name())
    .bind(&upload.file)
    .fetch_optional(&mut *transaction)
    .await?;
    if taken.is_some() {
        return Ok(Applied::Taken);
    }
    let (bytes, files) = held(transaction, upload.owner.name(), &upload.id).await?;
    let fits = bytes.saturating_add(upload.held) <= limits.total_bytes;
    if !fits || files >= count {
        return Ok(Applied::Full);
    }
    sqlx::query(
        "INSERT INTO uploads (id, owner, file, display_name, mime_type, bytes, begun_ms, held) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&upload.id)
    .bind(upload.owner.name())
    .bind(&upload.file)
    .bind(upload.display_name.as_deref())
    .bind(&upload.mime_type)
    .bind(upload.bytes.map(signed))
    .bind(upload.begun.as_millisecond())
    .bind(signed(upload.held))
    .execute(&mut *transaction)
    .await?;
    Ok(DONE)
}

/// Total size and number of an owner's files and uploads, without this upload.
async fn held(
    transaction: &mut SqliteConnection,
    owner: &str,
    upload: &str,
) -> Result<(u64, u64), StoreError> {
    let sums = sqlx::query(
        "SELECT coalesce(sum(bytes), 0), count(*) FROM \
         (SELECT bytes FROM files WHERE owner = $1 \
          UNION ALL SELECT held FROM uploads WHERE owner = $1 AND id <> $2)",
    )
    .bind(owner)
    .bind(upload)
    .fetch_one(&mut *transaction)
    .await?;
    let (bytes, files): (i64, i64) = (sums.try_get(0)?, sums.try_get(1)?);
    Ok((bytes.unsigned_abs(), files.unsigned_abs()))
}

async fn hold(
    transaction: &mut SqliteConnection,
    upload: &str,
    bytes: u64,
    limits: FileLimits,
) -> Result<Applied, StoreError> {
    let row = sqlx::query("SELECT owner, held FROM uploads WHERE id = $1")
        .bind(upload)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else { return Ok(Applied::Gone { unused: Vec::new() }) };
    let (owner, before): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    let (others, _) = held(transaction, &owner, upload).await?;
    if bytes > before.unsigned_abs() && others.saturating_add(bytes) > limits.total_bytes {
        return Ok(Applied::Full);
    }
    sqlx::query("UPDATE uploads SET held = $1 WHERE id = $2")
        .bind(signed(bytes))
        .bind(upload)
        .execute(&mut *transaction)
        .await?;
    Ok(DONE)
}

async fn finish(
    transaction: &mut SqliteConnection,
    upload: String,
    owner: Owner,
    file: StoredFile,
) -> Result<Applied, StoreError> {
    let gone = sqlx::query("DELETE FROM uploads WHERE id = $1 RETURNING $2")
        .bind(&upload)
        .bind(&file.sha256)
        .fetch_all(&mut *transaction)
        .await?;
    if gone.is_empty() {
        let left =
            if is_used(transaction, &file.sha256).await? { vec![] } else { vec![file.sha256] };
        return Ok(Applied::Gone { unused: left });
    }
    sqlx::query(
        "INSERT INTO files \
         (owner, id, display_name, mime_type, bytes, sha256, created_ms, expires_ms, upload) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(owner.name())
    .bind(&file.id)
    .bind(file.display_name.as_deref())
    .bind(&file.mime_type)
    .bind(signed(file.bytes))
    .bind(&file.sha256)
    .bind(file.created.as_millisecond())
    .bind(file.expires.as_millisecond())
    .bind(upload)
    .execute(&mut *transaction)
    .await?;
    Ok(DONE)
}

/// The blobs of deleted rows that no other row refers to.
async fn unused(
    transaction: &mut SqliteConnection,
    gone: &[sqlx::sqlite::SqliteRow],
) -> Result<Vec<String>, StoreError> {
    let mut unused = Vec::new();
    for row in gone {
        let sha256: String = row.try_get(0)?;
        if !is_used(transaction, &sha256).await? {
            unused.push(sha256);
        }
    }
    Ok(unused)
}

async fn is_used(transaction: &mut SqliteConnection, sha256: &str) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "SELECT 1 FROM files WHERE sha256 = $1 UNION ALL SELECT 1 FROM blob_uses WHERE sha256 = $1",
    )
    .bind(sha256)
    .fetch_optional(&mut *transaction)
    .await?;
    Ok(row.is_some())
}

/// SQLite's integers are signed. The limits keep sizes far below the maximum.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
