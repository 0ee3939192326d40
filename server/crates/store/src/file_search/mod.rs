//! File search stores: documents of clients, split into chunks that models search.

mod change;

use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Inner, Owner, RecordError, StoreError, load};

pub use change::{FileSearchApplied, FileSearchChange};

/// Maximum numbers of stores and of documents of one owner.
pub const MAX_FILE_SEARCH_STORES: u64 = 100;
pub const MAX_DOCUMENTS: u64 = 1000;
/// Maximum size of the chunks of all documents of one owner.
pub const MAX_CHUNK_BYTES: u64 = 16 << 20;

/// A store and the number and size of its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFileSearchStore {
    pub id: String,
    pub display_name: String,
    pub embedding_model: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub documents: u64,
    /// Of the files that the documents were made of.
    pub bytes: u64,
}

/// A document without its chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDocument {
    pub id: String,
    pub display_name: String,
    pub mime_type: String,
    pub bytes: u64,
    pub created: Timestamp,
    /// JSON of the client's metadata.
    pub metadata: String,
}

/// The file search stores of all owners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FileSearchStores(Arc<Inner>);

const STORE: &str = "SELECT id, display_name, embedding_model, created_ms, updated_ms, \
    (SELECT count(*) FROM file_search_documents AS d WHERE d.owner = s.owner AND d.store = s.id) AS documents, \
    (SELECT coalesce(sum(file_bytes), 0) FROM file_search_documents AS d \
     WHERE d.owner = s.owner AND d.store = s.id) AS bytes \
    FROM file_search_stores AS s WHERE owner = $1 AND id = $2 LIMIT $3";
const STORES: &str = "SELECT id, display_name, embedding_model, created_ms, updated_ms, \
    (SELECT count(*) FROM file_search_documents AS d WHERE d.owner = s.owner AND d.store = s.id) AS documents, \
    (SELECT coalesce(sum(file_bytes), 0) FROM file_search_documents AS d \
     WHERE d.owner = s.owner AND d.store = s.id) AS bytes \
    FROM file_search_stores AS s WHERE owner = $1 AND id > $2 ORDER BY id LIMIT $3";
const DOCUMENT: &str = "SELECT id, display_name, mime_type, file_bytes, created_ms, metadata \
    FROM file_search_documents WHERE owner = $1 AND store = $2 AND id = $3 LIMIT $4";
const DOCUMENTS: &str = "SELECT id, display_name, mime_type, file_bytes, created_ms, metadata \
    FROM file_search_documents WHERE owner = $1 AND store = $2 AND id > $3 ORDER BY id LIMIT $4";

impl FileSearchStores {
    pub(super) fn new(store: Arc<Inner>) -> FileSearchStores {
        FileSearchStores(store)
    }

    pub async fn change(&self, change: FileSearchChange) -> Result<FileSearchApplied, StoreError> {
        self.0.writer.change_file_search(change).await
    }

    pub async fn find(
        &self,
        owner: &Owner,
        id: &str,
    ) -> Result<Option<StoredFileSearchStore>, StoreError> {
        Ok(self.stores(STORE, owner, id, 1).await?.into_iter().next())
    }

    /// Up to `size` stores in the order of their ids, after the id `after`.
    pub async fn list(
        &self,
        owner: &Owner,
        after: &str,
        size: usize,
    ) -> Result<Vec<StoredFileSearchStore>, StoreError> {
        self.stores(STORES, owner, after, size).await
    }

    async fn stores(
        &self,
        query: &'static str,
        owner: &Owner,
        id: &str,
        size: usize,
    ) -> Result<Vec<StoredFileSearchStore>, StoreError> {
        let rows = sqlx::query(query)
            .bind(owner.name())
            .bind(id)
            .bind(i64::try_from(size).unwrap_or(i64::MAX))
            .fetch_all(&self.0.readers)
            .await?;
        rows.iter().map(store).collect()
    }

    pub async fn document(
        &self,
        owner: &Owner,
        store: &str,
        id: &str,
    ) -> Result<Option<StoredDocument>, StoreError> {
        Ok(self.rows(DOCUMENT, owner, (store, id), 1).await?.into_iter().next())
    }

    /// Up to `size` documents in the order of their ids, after the id `after`.
    pub async fn documents(
        &self,
        owner: &Owner,
        store: &str,
        after: &str,
        size: usize,
    ) -> Result<Vec<StoredDocument>, StoreError> {
        self.rows(DOCUMENTS, owner, (store, after), size).await
    }

    async fn rows(
        &self,
        query: &'static str,
        owner: &Owner,
        (store, id): (&str, &str),
        size: usize,
    ) -> Result<Vec<StoredDocument>, StoreError> {
        let rows = sqlx::query(query)
            .bind(owner.name())
            .bind(store)
            .bind(id)
            .bind(i64::try_from(size).unwrap_or(i64::MAX))
            .fetch_all(&self.0.readers)
            .await?;
        rows.iter().map(document).collect()
    }

    /// Size of the chunks of a store.
    pub async fn chunk_bytes(&self, owner: &Owner, store: &str) -> Result<u64, StoreError> {
        let row = sqlx::query(
            "SELECT coalesce(sum(bytes), 0) FROM file_search_documents \
             WHERE owner = $1 AND store = $2",
        )
        .bind(owner.name())
        .bind(store)
        .fetch_one(&self.0.readers)
        .await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    /// The documents of a store, each with its chunks. Their size is known from
    /// [`FileSearchStores::chunk_bytes`].
    pub async fn chunks(
        &self,
        owner: &Owner,
        store: &str,
    ) -> Result<Vec<(StoredDocument, Vec<String>)>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, display_name, mime_type, file_bytes, created_ms, metadata, chunks \
             FROM file_search_documents WHERE owner = $1 AND store = $2 ORDER BY id",
        )
        .bind(owner.name())
        .bind(store)
        .fetch_all(&self.0.readers)
        .await?;
        let read = |row: &SqliteRow| {
            let chunks: String = row.try_get("chunks")?;
            Ok((document(row)?, serde_json::from_str(&chunks).map_err(RecordError::from)?))
        };
        rows.iter().map(read).collect()
    }
}

fn store(row: &SqliteRow) -> Result<StoredFileSearchStore, StoreError> {
    Ok(StoredFileSearchStore {
        id: row.try_get("id")?,
        display_name: row.try_get("display_name")?,
        embedding_model: row.try_get("embedding_model")?,
        created: load::time(row, "created_ms")?,
        updated: load::time(row, "updated_ms")?,
        documents: row.try_get::<i64, _>("documents")?.unsigned_abs(),
        bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
    })
}

fn document(row: &SqliteRow) -> Result<StoredDocument, StoreError> {
    Ok(StoredDocument {
        id: row.try_get("id")?,
        display_name: row.try_get("display_name")?,
        mime_type: row.try_get("mime_type")?,
        bytes: row.try_get::<i64, _>("file_bytes")?.unsigned_abs(),
        created: load::time(row, "created_ms")?,
        metadata: row.try_get("metadata")?,
    })
}
