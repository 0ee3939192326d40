//! Batches: many requests that run in the background, and their results.
//!
//! ```text
//!   creating ──▶ pending ──▶ running ──▶ succeeded · failed
//!                   └───────────┴──────▶ cancelled
//! ```

mod change;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr};

use super::{Inner, Owner, StoreError};

pub use change::BatchChange;
pub use rows::BatchResult;

/// Maximum number of requests of a batch.
pub const MAX_BATCH_REQUESTS: usize = 10_000;
/// Maximum number of unfinished batches of one owner.
pub const MAX_OPEN_BATCHES: u64 = 100;
/// Maximum number of batches of one owner: their sizes are summed for each result.
pub const MAX_BATCHES: u64 = 2000;
/// Maximum size of all requests and results of one owner.
pub const MAX_BATCH_BYTES: u64 = 1 << 30;
/// A result of this size is stored also beyond [`MAX_BATCH_BYTES`]: an error that says so.
const ERROR_BYTES: usize = 512;
/// Requests are stored in transactions of this size.
const TRANSACTION_BYTES: usize = 1 << 20;

/// A batch without its requests and results.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredBatch {
    pub id: String,
    pub owner: Owner,
    pub namespace: String,
    /// Without `models/`.
    pub model: String,
    pub method: BatchMethod,
    pub display_name: String,
    pub is_file: bool,
    pub state: BatchState,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub ended: Option<Timestamp>,
    pub requests: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

/// What a batch does with its requests. The names are those in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum BatchMethod {
    GenerateContent,
    EmbedContent,
}

impl BatchMethod {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The names are those in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum BatchState {
    Pending,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl BatchState {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    pub fn has_ended(self) -> bool {
        !matches!(self, BatchState::Pending | BatchState::Running)
    }
}

/// A request of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchLine {
    /// JSON with which the client recognises the result.
    pub key: Option<String>,
    /// JSON of the request; empty if it was malformed.
    pub request: String,
    /// The result of a malformed request.
    pub response: Option<String>,
}

impl BatchLine {
    /// Its size in the database.
    pub fn bytes(&self) -> usize {
        let others = [&self.key, &self.response].into_iter().flatten().map(String::len);
        self.request.len() + others.sum::<usize>()
    }
}

/// The batches of all owners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StoredBatches(Arc<Inner>);

impl StoredBatches {
    pub(super) fn new(store: Arc<Inner>) -> StoredBatches {
        StoredBatches(store)
    }

    /// Stores a batch, which is pending. Returns whether its owner's limits permit it.
    pub async fn create(
        &self,
        batch: StoredBatch,
        lines: Vec<BatchLine>,
    ) -> Result<bool, StoreError> {
        let (id, owner) = (batch.id.clone(), batch.owner.clone());
        if self.change(BatchChange::Create(batch)).await? == 0 {
            return Ok(false);
        }
        let added = self.add(&id, lines).await;
        if added.is_err() {
            // It would count as unfinished until the next start. If this fails too, that is so.
            let _ = self.delete(&owner, &id).await;
        }
        added.map(|()| true)
    }

    /// Adds all requests of a new batch.
    async fn add(&self, id: &str, lines: Vec<BatchLine>) -> Result<(), StoreError> {
        let failed = lines.iter().filter(|line| line.response.is_some()).count();
        let (mut first, mut bytes, mut chunk) = (0, 0, Vec::new());
        for line in lines {
            bytes += line.bytes();
            chunk.push(line);
            if bytes > TRANSACTION_BYTES {
                let lines: Arc<[BatchLine]> = std::mem::take(&mut chunk).into();
                let next = first + lines.len();
                self.change(BatchChange::Add { id: id.to_owned(), first, bytes, lines }).await?;
                (first, bytes) = (next, 0);
            }
        }
        if !chunk.is_empty() {
            let lines = chunk.into();
            self.change(BatchChange::Add { id: id.to_owned(), first, bytes, lines }).await?;
        }
        self.change(BatchChange::Submit { id: id.to_owned(), failed }).await.map(drop)
    }

    /// Marks a batch as running; returns how many servers have run it and ended without a shutdown,
    /// this one included, or 0 if it has ended.
    pub async fn begin(&self, id: &str, now: Timestamp) -> Result<u64, StoreError> {
        self.change(BatchChange::Begin { id: id.to_owned(), now }).await
    }

    /// Does not count the last start of a batch, because the server is shutting down.
    pub async fn suspend(&self, id: &str) -> Result<(), StoreError> {
        self.change(BatchChange::Suspend { id: id.to_owned() }).await.map(drop)
    }

    /// Stores the result of a request, unless the batch has ended or the result is too large for its owner's
    /// limit. Returns whether it is stored.
    pub async fn finish(
        &self,
        id: &str,
        line: u64,
        response: Arc<str>,
        failed: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.to_owned();
        Ok(self.change(BatchChange::Finish { id, line, response, failed, now }).await? > 0)
    }

    /// Ends a batch, unless it has ended.
    pub async fn end(&self, id: &str, state: BatchState, now: Timestamp) -> Result<(), StoreError> {
        self.change(BatchChange::End { id: id.to_owned(), state, now }).await.map(drop)
    }

    /// Deletes a batch; returns whether it existed.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        let (owner, id) = (owner.clone(), id.to_owned());
        Ok(self.change(BatchChange::Delete { owner, id }).await? > 0)
    }

    /// Deletes batches that ended before this time.
    pub async fn sweep(&self, before: Timestamp) -> Result<(), StoreError> {
        self.change(BatchChange::Sweep { before }).await.map(drop)
    }

    /// Deletes batches whose requests were not all stored when the last server ended, and returns those
    /// that it did not finish.
    pub async fn unfinished(&self) -> Result<Vec<StoredBatch>, StoreError> {
        self.change(BatchChange::Abandon).await?;
        rows::unfinished(&self.0.readers).await
    }

    pub async fn find(&self, owner: &Owner, id: &str) -> Result<Option<StoredBatch>, StoreError> {
        rows::find(&self.0.readers, owner, id).await
    }

    /// Up to `size` batches in the order of their ids, after the id `after`.
    pub async fn list(
        &self,
        owner: &Owner,
        after: &str,
        size: usize,
    ) -> Result<Vec<StoredBatch>, StoreError> {
        rows::list(&self.0.readers, owner, after, size).await
    }

    /// The lines without a result, each with the length of its request.
    pub async fn open_lines(&self, id: &str) -> Result<Vec<(u64, usize)>, StoreError> {
        rows::open_lines(&self.0.readers, id).await
    }

    /// The JSON of a request; `None` if the batch was deleted.
    pub async fn request(&self, id: &str, line: u64) -> Result<Option<String>, StoreError> {
        rows::request(&self.0.readers, id, line).await
    }

    /// The size of a result with its key; `None` if there is no result.
    pub async fn result_bytes(&self, id: &str, line: u64) -> Result<Option<usize>, StoreError> {
        rows::result_bytes(&self.0.readers, id, line).await
    }

    /// A result; `None` if there is none.
    pub async fn result(&self, id: &str, line: u64) -> Result<Option<BatchResult>, StoreError> {
        rows::result(&self.0.readers, id, line).await
    }

    async fn change(&self, change: BatchChange) -> Result<u64, StoreError> {
        self.0.writer.change_batch(change).await
    }
}
