//! Changes of file search stores.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{
    MAX_CHUNK_BYTES, MAX_DOCUMENTS, MAX_FILE_SEARCH_STORES, StoredDocument, StoredFileSearchStore,
};
use crate::transaction::RowChange;
use crate::{Owner, StoreError};

/// Upper bound of a row's size in the database without its texts.
const ROW_BYTES: u64 = 4 * 4096;

#[derive(Debug, Clone)]
pub enum FileSearchChange {
    Create {
        owner: Owner,
        store: StoredFileSearchStore,
    },
    /// Adds a document, or leaves the one of the same id.
    Add {
        owner: Owner,
        store: String,
        document: StoredDocument,
        /// JSON of a list.
        chunks: String,
    },
    Delete {
        owner: Owner,
        id: String,
        /// Whether its documents are deleted too.
        force: bool,
    },
    DeleteDocument {
        owner: Owner,
        store: String,
        id: String,
        now: Timestamp,
    },
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSearchApplied {
    Done,
    /// There is no such store or document.
    Missing,
    /// The owner's limits do not permit it.
    Full,
    /// The store has documents.
    NotEmpty,
}

impl RowChange for FileSearchChange {
    type Applied = FileSearchApplied;

    fn makes_room(&self) -> bool {
        matches!(self, FileSearchChange::Delete { .. } | FileSearchChange::DeleteDocument { .. })
    }

    fn bytes(&self) -> u64 {
        match self {
            FileSearchChange::Add { document, chunks, .. } => {
                let bytes = (chunks.len() + document.metadata.len()) as u64;
                bytes + bytes / 256 + ROW_BYTES
            }
            _ => ROW_BYTES,
        }
    }

    async fn apply_in(
        self,
        transaction: &mut SqliteConnection,
    ) -> Result<FileSearchApplied, StoreError> {
        match self {
            FileSearchChange::Create { owner, store } => create(transaction, &owner, &store).await,
            FileSearchChange::Add { owner, store, document, chunks } => {
                add(transaction, &owner, &store, &document, &chunks).await
            }
            FileSearchChange::Delete { owner, id, force } => {
                delete(transaction, &owner, &id, force).await
            }
            FileSearchChange::DeleteDocument { owner, store, id, now } => {
                let deleted = sqlx::query(
                    "DELETE FROM file_search_documents WHERE owner = $1 AND store = $2 AND id = $3",
                )
                .bind(owner.name())
                .bind(&store)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
                touch(transaction, &owner, &store, now).await?;
                Ok(done_if(deleted.rows_affected() > 0))
            }
        }
    }
}

fn done_if(is_done: bool) -> FileSearchApplied {
    if is_done { FileSearchApplied::Done } else { FileSearchApplied::Missing }
}

async fn create(
    transaction: &mut SqliteConnection,
    owner: &Owner,
    store: &StoredFileSearchStore,
) -> Result<FileSearchApplied, StoreError> {
    let count = sqlx::query("SELECT count(*) FROM file_search_stores WHERE owner = $1")
        .bind(owner.name())
        .fetch_one(&mut *transaction)
        .await?;
    if count.try_get::<i64, _>(0)?.unsigned_abs() >= MAX_FILE_SEARCH_STORES {
        return Ok(FileSearchApplied::Full);
    }
    sqlx::query(
        "INSERT INTO file_search_stores (owner, id, display_name, embedding_model, created_ms, \
         updated_ms) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(owner.name())
    .bind(&store.id)
    .bind(&store.display_name)
    .bind(&store.embedding_model)
    .bind(store.created.as_millisecond())
    .bind(store.updated.as_millisecond())
    .execute(transaction)
    .await?;
    Ok(FileSearchApplied::Done)
}

async fn add(
    transaction: &mut SqliteConnection,
    owner: &Owner,
    store: &str,
    document: &StoredDocument,
    chunks: &str,
) -> Result<FileSearchApplied, StoreError> {
    if !touch(transaction, owner, store, document.created).await? {
        return Ok(FileSearchApplied::Missing);
    }
    let sums = sqlx::query(
        "SELECT coalesce(sum(bytes), 0), count(*) FROM file_search_documents WHERE owner = $1",
    )
    .bind(owner.name())
    .fetch_one(&mut *transaction)
    .await?;
    let (bytes, count): (i64, i64) = (sums.try_get(0)?, sums.try_get(1)?);
    let bytes = bytes.unsigned_abs().saturating_add(chunks.len() as u64);
    if bytes > MAX_CHUNK_BYTES || count.unsigned_abs() >= MAX_DOCUMENTS {
        return Ok(FileSearchApplied::Full);
    }
    sqlx::query(
        "INSERT INTO file_search_documents (owner, store, id, display_name, mime_type, file_bytes, \
         created_ms, metadata, bytes, chunks) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (owner, store, id) DO NOTHING",
    )
    .bind(owner.name())
    .bind(store)
    .bind(&document.id)
    .bind(&document.display_name)
    .bind(&document.mime_type)
    .bind(i64::try_from(document.bytes).unwrap_or(i64::MAX))
    .bind(document.created.as_millisecond())
    .bind(&document.metadata)
    .bind(i64::try_from(chunks.len()).unwrap_or(i64::MAX))
    .bind(chunks)
    .execute(transaction)
    .await?;
    Ok(FileSearchApplied::Done)
}

async fn delete(
    transaction: &mut SqliteConnection,
    owner: &Owner,
    id: &str,
    force: bool,
) -> Result<FileSearchApplied, StoreError> {
    if !force {
        let count = sqlx::query(
            "SELECT count(*) FROM file_search_documents WHERE owner = $1 AND store = $2",
        )
        .bind(owner.name())
        .bind(id)
        .fetch_one(&mut *transaction)
        .await?;
        if count.try_get::<i64, _>(0)? > 0 {
            return Ok(FileSearchApplied::NotEmpty);
        }
    }
    sqlx::query("DELETE FROM file_search_documents WHERE owner = $1 AND store = $2")
        .bind(owner.name())
        .bind(id)
        .execute(&mut *transaction)
        .await?;
    let deleted = sqlx::query("DELETE FROM file_search_stores WHERE owner = $1 AND id = $2")
        .bind(owner.name())
        .bind(id)
        .execute(transaction)
        .await?;
    Ok(done_if(deleted.rows_affected() > 0))
}

/// Notes that a store has changed; returns whether it exists.
async fn touch(
    transaction: &mut SqliteConnection,
    owner: &Owner,
    store: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let touched =
        sqlx::query("UPDATE file_search_stores SET updated_ms = $1 WHERE owner = $2 AND id = $3")
            .bind(now.as_millisecond())
            .bind(owner.name())
            .bind(store)
            .execute(transaction)
            .await?;
    Ok(touched.rows_affected() > 0)
}
