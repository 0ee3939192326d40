//! Reading the rows of files and uploads.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use super::{StoredFile, Upload};
use crate::{Owner, StoreError, load};

pub async fn file(
    database: &SqlitePool,
    owner: &Owner,
    id: &str,
    now: Timestamp,
) -> Result<Option<StoredFile>, StoreError> {
    let row = sqlx::query("SELECT * FROM files WHERE owner = $1 AND id = $2 AND expires_ms > $3")
        .bind(owner.name())
        .bind(id)
        .bind(now.as_millisecond())
        .fetch_optional(database)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The file that an upload was finished as.
pub async fn of_upload(
    database: &SqlitePool,
    owner: Option<&Owner>,
    upload: &str,
    now: Timestamp,
) -> Result<Option<(Owner, StoredFile)>, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM files WHERE upload = $1 AND expires_ms > $2 AND owner = coalesce($3, owner)",
    )
    .bind(upload)
    .bind(now.as_millisecond())
    .bind(owner.map(Owner::name))
    .fetch_optional(database)
    .await?;
    let with_owner = |row: &SqliteRow| Ok((Owner::named(row.try_get("owner")?), read(row)?));
    row.as_ref().map(with_owner).transpose()
}

pub async fn list(
    database: &SqlitePool,
    owner: &Owner,
    after: &str,
    size: usize,
    now: Timestamp,
) -> Result<Vec<StoredFile>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM files WHERE owner = $1 AND id > $2 AND expires_ms > $3 ORDER BY id LIMIT $4",
    )
    .bind(owner.name())
    .bind(after)
    .bind(now.as_millisecond())
    .bind(i64::try_from(size).unwrap_or(i64::MAX))
    .fetch_all(database)
    .await?;
    rows.iter().map(read).collect()
}

pub async fn upload(
    database: &SqlitePool,
    owner: Option<&Owner>,
    id: &str,
) -> Result<Option<Upload>, StoreError> {
    let row = sqlx::query("SELECT * FROM uploads WHERE id = $1 AND owner = coalesce($2, owner)")
        .bind(id)
        .bind(owner.map(Owner::name))
        .fetch_optional(database)
        .await?;
    row.as_ref().map(read_upload).transpose()
}

/// The uploads that have reserved quota.
pub async fn holding(database: &SqlitePool) -> Result<Vec<Upload>, StoreError> {
    let rows = sqlx::query("SELECT * FROM uploads WHERE held > 0").fetch_all(database).await?;
    rows.iter().map(read_upload).collect()
}

fn read_upload(row: &SqliteRow) -> Result<Upload, StoreError> {
    let bytes: Option<i64> = row.try_get("bytes")?;
    Ok(Upload {
        id: row.try_get("id")?,
        owner: Owner::named(row.try_get("owner")?),
        file: row.try_get("file")?,
        display_name: row.try_get("display_name")?,
        mime_type: row.try_get("mime_type")?,
        bytes: bytes.map(i64::unsigned_abs),
        held: row.try_get::<i64, _>("held")?.unsigned_abs(),
        begun: load::time(row, "begun_ms")?,
    })
}

/// The ids of all uploads.
pub async fn uploads(database: &SqlitePool) -> Result<HashSet<String>, StoreError> {
    let rows = sqlx::query("SELECT id FROM uploads").fetch_all(database).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

fn read(row: &SqliteRow) -> Result<StoredFile, StoreError> {
    let bytes: i64 = row.try_get("bytes")?;
    Ok(StoredFile {
        id: row.try_get("id")?,
        display_name: row.try_get("display_name")?,
        mime_type: row.try_get("mime_type")?,
        bytes: bytes.unsigned_abs(),
        sha256: row.try_get("sha256")?,
        created: load::time(row, "created_ms")?,
        expires: load::time(row, "expires_ms")?,
    })
}
