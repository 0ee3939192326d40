//! Files that clients upload and later requests refer to.
//!
//! ```text
//! begin ──▶ uploads/ (a growing file, one row) ──▶ finish: hashed, made a blob
//!                 │                                          │
//!                 └── expired, aborted ──▶ sweep ◀── expired, deleted
//! ```
//!
//! Received bytes are written to the disk at once, and survive the death of this process.

mod change;
mod rows;
mod upload;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;

use super::blobs::remove;
use super::{Inner, Owner, StoreError, log, room};
use domain::ids;
use domain::interaction::media::PageCounter;

pub use change::{Applied, Change};
pub use upload::Receiving;

/// How long an upload may take, from its beginning to its last byte.
const UPLOAD_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Quota that an upload of unknown size reserves beyond the bytes received.
const STEP_BYTES: u64 = 16 << 20;
/// After this time without new bytes, an upload keeps only the quota for the bytes received.
const RESERVED_FOR: Duration = Duration::from_secs(60 * 60);
/// Maximum number of files and uploads of one owner.
const MAX_FILES: u64 = 10_000;

/// Limits of uploaded files. There is no default here; the configuration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// Maximum size of one file.
    pub file_bytes: u64,
    /// Maximum total size of all files and uploads of one owner.
    pub total_bytes: u64,
    pub lifetime: Duration,
}

/// An uploaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub id: String,
    pub display_name: Option<String>,
    pub mime_type: String,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    pub created: Timestamp,
    pub expires: Timestamp,
}

/// A file that a client is about to upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Chosen by the server if `None`.
    pub id: Option<String>,
    pub display_name: Option<String>,
    pub mime_type: String,
    /// The size, if the client announced it.
    pub bytes: Option<u64>,
}

/// An upload in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Cannot be guessed: knowing it authorises a client to continue the upload.
    pub id: String,
    pub owner: Owner,
    pub file: String,
    pub display_name: Option<String>,
    pub mime_type: String,
    pub bytes: Option<u64>,
    /// Bytes of the owner's quota reserved for it.
    pub held: u64,
    pub begun: Timestamp,
}

/// The state of an upload.
#[derive(Debug)]
pub enum UploadState {
    Receiving(Receiving),
    /// With its owner, who may have sent no key.
    Done(Owner, StoredFile),
}

/// Why an upload failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("unknown upload")]
    Unknown,
    #[error("another request is writing to this upload")]
    Busy,
    #[error("a file or an upload with this name already exists")]
    Taken,
    #[error("the file is larger than {0} bytes")]
    TooLarge(u64),
    #[error(
        "the files of one key are limited to {total_bytes} bytes in total and {MAX_FILES} files"
    )]
    Full { total_bytes: u64 },
    #[error("invalid offset {offset}: {received} bytes were received")]
    Gap { offset: u64, received: u64 },
    #[error("{announced} bytes were announced, but {received} were received")]
    WrongSize { announced: u64, received: u64 },
    #[error("could not write the upload: {0}")]
    Disk(std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<std::io::Error> for UploadError {
    fn from(error: std::io::Error) -> UploadError {
        match room::of_io(&error) {
            Some(known) => known.into(),
            None => UploadError::Disk(error),
        }
    }
}

/// Maximum number of documents whose pages are remembered.
const MAX_PAGE_COUNTS: usize = 10_000;

/// The files of all owners. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Files {
    store: Arc<Inner>,
    limits: FileLimits,
}

impl Files {
    pub(super) fn new(store: Arc<Inner>, limits: FileLimits) -> Files {
        Files { store, limits }
    }

    /// Whether a file may have this size.
    pub fn allows(&self, bytes: u64) -> Result<(), UploadError> {
        let most = self.limits.file_bytes;
        if bytes > most { Err(UploadError::TooLarge(most)) } else { Ok(()) }
    }

    /// Begins an upload and returns its id.
    pub async fn begin(&self, owner: &Owner, file: Announced) -> Result<String, UploadError> {
        self.allows(file.bytes.unwrap_or_default())?;
        let upload = Upload {
            id: ids::upload(),
            owner: owner.clone(),
            file: file.id.unwrap_or_else(ids::file),
            display_name: file.display_name,
            mime_type: file.mime_type,
            bytes: file.bytes,
            held: file.bytes.unwrap_or(STEP_BYTES.min(self.limits.file_bytes)),
            begun: log::now(),
        };
        let id = upload.id.clone();
        let limits = self.limits;
        match self.change(Change::Begin { upload, limits, count: MAX_FILES }).await? {
            Applied::Done { .. } => Ok(id),
            Applied::Taken => Err(UploadError::Taken),
            Applied::Full => Err(UploadError::Full { total_bytes: limits.total_bytes }),
            Applied::Gone { .. } => Err(UploadError::Unknown),
        }
    }

    /// The state of an upload, ready to continue. If the request has an owner, only that owner's uploads
    /// are found.
    pub async fn progress(
        &self,
        owner: Option<&Owner>,
        upload: &str,
    ) -> Result<UploadState, UploadError> {
        if let Some(upload) = rows::upload(&self.store.readers, owner, upload).await? {
            let receiving = Receiving::open(self.clone(), upload).await;
            return Ok(UploadState::Receiving(self.noted(receiving)?));
        }
        let file = rows::of_upload(&self.store.readers, owner, upload, log::now()).await?;
        file.map(|(owner, file)| UploadState::Done(owner, file)).ok_or(UploadError::Unknown)
    }

    pub async fn find(&self, owner: &Owner, id: &str) -> Result<Option<StoredFile>, StoreError> {
        rows::file(&self.store.readers, owner, id, log::now()).await
    }

    /// Up to `size` files in the order of their ids, after the id `after`.
    pub async fn list(
        &self,
        owner: &Owner,
        after: &str,
        size: usize,
    ) -> Result<Vec<StoredFile>, StoreError> {
        rows::list(&self.store.readers, owner, after, size, log::now()).await
    }

    /// The content of a file.
    pub async fn content(&self, file: &StoredFile) -> Result<Bytes, StoreError> {
        self.store.blobs.read(&file.sha256).await
    }

    /// The first bytes of a file.
    pub async fn head(&self, file: &StoredFile, bytes: u64) -> Result<Bytes, StoreError> {
        self.store.blobs.read_first(&file.sha256, bytes.min(file.bytes)).await
    }

    /// The number of pages of a PDF. Read once: the content of an address never changes.
    pub async fn pages(&self, file: &StoredFile) -> Result<u64, StoreError> {
        if let Some(pages) = self.store.page_counts.lock().get(&file.sha256) {
            return Ok(*pages);
        }
        let mut counter = PageCounter::default();
        let mut pieces = self.store.blobs.pieces(&file.sha256).await?;
        while let Some(piece) = pieces.try_next().await? {
            counter.add(&piece);
            // Each piece takes a while, and a file has many.
            tokio::task::yield_now().await;
        }
        let pages = counter.count();
        let mut known = self.store.page_counts.lock();
        if known.len() >= MAX_PAGE_COUNTS {
            known.clear();
        }
        known.insert(file.sha256.clone(), pages);
        Ok(pages)
    }

    /// Deletes a file; returns whether it existed.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        if self.find(owner, id).await?.is_none() {
            return Ok(false);
        }
        self.remove(Change::Delete { owner: owner.clone(), id: id.to_owned() }).await?;
        Ok(true)
    }

    /// Deletes expired files and uploads, and the remains of uploads of a server that died.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), UploadError> {
        self.remove(Change::Expire { now, begun_before: before(now, UPLOAD_LIFETIME) }).await?;
        let mut there = Vec::new();
        let mut entries = tokio::fs::read_dir(self.folder()).await?;
        while let Some(entry) = entries.next_entry().await? {
            there.push(entry.path());
        }
        // Read the rows after the folder: an upload has its row before its file, so a file from the
        // folder without a row belongs to no upload. Uploads that begin in the meantime are not affected.
        let known = rows::uploads(&self.store.readers).await?;
        for file in there {
            let upload = file.file_stem().and_then(OsStr::to_str); // without the suffix of a copy
            if !upload.is_some_and(|upload| known.contains(upload)) {
                remove(&file).await?;
            }
        }
        self.release_quota(now).await
    }

    /// Releases the reserved quota of uploads that receive no bytes.
    async fn release_quota(&self, now: Timestamp) -> Result<(), UploadError> {
        for upload in rows::holding(&self.store.readers).await? {
            let (bytes, last) = match tokio::fs::metadata(self.folder().join(&upload.id)).await {
                Ok(file) => (file.len(), file.modified()?.try_into().unwrap_or(upload.begun)),
                Err(_) => (0, upload.begun), // no bytes were received
            };
            if bytes < upload.held && last < before(now, RESERVED_FOR) {
                let (upload, limits) = (upload.id, self.limits);
                self.change(Change::Hold { upload, bytes, limits }).await?;
            }
        }
        Ok(())
    }

    async fn change(&self, change: Change) -> Result<Applied, StoreError> {
        self.store.writer.change_files(change).await
    }

    /// Makes a change that may leave unused blobs, and removes them.
    async fn remove(&self, change: Change) -> Result<(), StoreError> {
        // While this lock is held, no append can start to use a blob that is about to be removed.
        let exclusive = self.store.blobs.lock_exclusively().await;
        match self.change(change).await? {
            Applied::Done { unused } | Applied::Gone { unused } => {
                self.store.blobs.remove(&exclusive, &unused).await
            }
            Applied::Taken | Applied::Full => Ok(()),
        }
    }

    /// Records a full disk, and lets the writer free space.
    fn noted<T>(&self, result: Result<T, UploadError>) -> Result<T, UploadError> {
        result.inspect_err(|error| {
            if let UploadError::Store(error) = error {
                self.store.room.note(&Err::<(), _>(error.clone()));
                if matches!(error, StoreError::Full) {
                    self.store.writer.reclaim_soon();
                }
            }
        })
    }

    fn folder(&self) -> &PathBuf {
        &self.store.uploads
    }
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_sub(time).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests;
