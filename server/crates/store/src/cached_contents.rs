//! Cached contents: beginnings of conversations that clients store once and name in requests.

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::record::TokensRecord;
use super::transaction::RowChange;
use super::{Inner, Owner, RecordError, StoreError, load};
use domain::interaction::Tokens;

/// Maximum number of cached contents of one owner.
pub const MAX_CACHED_CONTENTS: u64 = 1000;
/// Maximum size of all cached contents of one owner.
pub const MAX_CACHED_BYTES: u64 = 256 << 20;

/// Upper bound of a row's size in the database without its content.
const ROW_BYTES: u64 = 4 * 4096;

/// A cached content without the content itself.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedContent {
    pub id: String,
    /// Without `models/`.
    pub model: String,
    pub display_name: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub expires: Timestamp,
    pub tokens: Tokens,
    /// Memory of the content's JSON, which is more than its length.
    pub bytes: u64,
}

/// The cached contents of all owners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CachedContents(Arc<Inner>);

#[derive(Debug, Clone)]
pub enum CacheChange {
    Create { owner: Owner, cached: CachedContent, content: Arc<str> },
    Extend { owner: Owner, id: String, now: Timestamp, expires: Timestamp },
    Delete { owner: Owner, id: String },
    Expire { now: Timestamp },
}

impl RowChange for CacheChange {
    /// Whether it was possible: there is room, or the cached content exists.
    type Applied = bool;

    fn makes_room(&self) -> bool {
        matches!(self, CacheChange::Delete { .. } | CacheChange::Expire { .. })
    }

    fn bytes(&self) -> u64 {
        match self {
            CacheChange::Create { content, .. } => {
                let bytes = content.len() as u64;
                bytes + bytes / 256 + ROW_BYTES
            }
            _ => ROW_BYTES,
        }
    }

    async fn apply_in(self, transaction: &mut SqliteConnection) -> Result<bool, StoreError> {
        let query = match self {
            CacheChange::Create { owner, cached, content } => {
                return create(transaction, &owner, &cached, &content).await;
            }
            CacheChange::Extend { owner, id, now, expires } => sqlx::query(
                "UPDATE cached_contents SET expires_ms = $1, updated_ms = $2 \
                 WHERE owner = $3 AND id = $4 AND expires_ms > $2",
            )
            .bind(expires.as_millisecond())
            .bind(now.as_millisecond())
            .bind(owner.name().to_owned())
            .bind(id),
            CacheChange::Delete { owner, id } => {
                sqlx::query("DELETE FROM cached_contents WHERE owner = $1 AND id = $2")
                    .bind(owner.name().to_owned())
                    .bind(id)
            }
            CacheChange::Expire { now } => {
                sqlx::query("DELETE FROM cached_contents WHERE expires_ms <= $1")
                    .bind(now.as_millisecond())
            }
        };
        Ok(query.execute(transaction).await?.rows_affected() > 0)
    }
}

async fn create(
    transaction: &mut SqliteConnection,
    owner: &Owner,
    cached: &CachedContent,
    content: &str,
) -> Result<bool, StoreError> {
    let sums = sqlx::query(
        "SELECT coalesce(sum(bytes), 0), count(*) FROM cached_contents \
         WHERE owner = $1 AND expires_ms > $2",
    )
    .bind(owner.name())
    .bind(cached.created.as_millisecond())
    .fetch_one(&mut *transaction)
    .await?;
    let (bytes, count): (i64, i64) = (sums.try_get(0)?, sums.try_get(1)?);
    let bytes = bytes.unsigned_abs().saturating_add(cached.bytes);
    if bytes > MAX_CACHED_BYTES || count.unsigned_abs() >= MAX_CACHED_CONTENTS {
        return Ok(false);
    }
    let tokens = serde_json::to_string(&TokensRecord::from(cached.tokens));
    sqlx::query(
        "INSERT INTO cached_contents (owner, id, model, display_name, created_ms, updated_ms, \
         expires_ms, tokens, bytes, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(owner.name())
    .bind(&cached.id)
    .bind(&cached.model)
    .bind(&cached.display_name)
    .bind(cached.created.as_millisecond())
    .bind(cached.updated.as_millisecond())
    .bind(cached.expires.as_millisecond())
    .bind(tokens.map_err(RecordError::from)?)
    .bind(i64::try_from(cached.bytes).unwrap_or(i64::MAX))
    .bind(content)
    .execute(transaction)
    .await?;
    Ok(true)
}

/// Without the content, which may be large.
const FIND: &str = "SELECT id, model, display_name, created_ms, updated_ms, expires_ms, tokens, bytes \
                    FROM cached_contents WHERE owner = $1 AND expires_ms > $2 AND id = $3 LIMIT $4";
const LIST: &str = "SELECT id, model, display_name, created_ms, updated_ms, expires_ms, tokens, bytes \
                    FROM cached_contents WHERE owner = $1 AND expires_ms > $2 AND id > $3 \
                    ORDER BY id LIMIT $4";

impl CachedContents {
    pub(super) fn new(store: Arc<Inner>) -> CachedContents {
        CachedContents(store)
    }

    /// Stores a cached content. Returns whether its owner's limits permit it.
    pub async fn create(
        &self,
        owner: &Owner,
        cached: CachedContent,
        content: Arc<str>,
    ) -> Result<bool, StoreError> {
        self.change(CacheChange::Create { owner: owner.clone(), cached, content }).await
    }

    pub async fn find(
        &self,
        owner: &Owner,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<CachedContent>, StoreError> {
        let found = self.rows(FIND, owner, id, 1, now).await?;
        Ok(found.into_iter().next())
    }

    /// Up to `size` cached contents in the order of their ids, after the id `after`.
    pub async fn list(
        &self,
        owner: &Owner,
        after: &str,
        size: usize,
        now: Timestamp,
    ) -> Result<Vec<CachedContent>, StoreError> {
        self.rows(LIST, owner, after, size, now).await
    }

    async fn rows(
        &self,
        query: &'static str,
        owner: &Owner,
        id: &str,
        size: usize,
        now: Timestamp,
    ) -> Result<Vec<CachedContent>, StoreError> {
        let rows = sqlx::query(query)
            .bind(owner.name())
            .bind(now.as_millisecond())
            .bind(id)
            .bind(i64::try_from(size).unwrap_or(i64::MAX))
            .fetch_all(&self.0.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    /// The JSON of the content. Its memory is known from [`CachedContents::find`].
    pub async fn content(&self, owner: &Owner, id: &str) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT content FROM cached_contents WHERE owner = $1 AND id = $2")
            .bind(owner.name())
            .bind(id)
            .fetch_optional(&self.0.readers)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Changes the expiry; returns whether the cached content exists.
    pub async fn extend(
        &self,
        owner: &Owner,
        id: &str,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<bool, StoreError> {
        let (owner, id) = (owner.clone(), id.to_owned());
        self.change(CacheChange::Extend { owner, id, now, expires }).await
    }

    /// Deletes a cached content; returns whether it existed.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        self.change(CacheChange::Delete { owner: owner.clone(), id: id.to_owned() }).await
    }

    /// Deletes expired ones.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        self.change(CacheChange::Expire { now }).await.map(drop)
    }

    async fn change(&self, change: CacheChange) -> Result<bool, StoreError> {
        self.0.writer.change_cache(change).await
    }
}

fn read(row: &SqliteRow) -> Result<CachedContent, StoreError> {
    let tokens: String = row.try_get("tokens")?;
    let tokens: TokensRecord = serde_json::from_str(&tokens).map_err(RecordError::from)?;
    Ok(CachedContent {
        id: row.try_get("id")?,
        model: row.try_get("model")?,
        display_name: row.try_get("display_name")?,
        created: load::time(row, "created_ms")?,
        updated: load::time(row, "updated_ms")?,
        expires: load::time(row, "expires_ms")?,
        tokens: tokens.into(),
        bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
    })
}
