//! Files that clients send ahead of their requests.
//!
//! ```text
//! begin ──▶ uploads/ (a file that grows, one row) ──▶ finish: hashed, moved among the blobs
//!                 │                                          │
//!                 └── too old, broken off ──▶ sweep ◀── too old, deleted
//! ```
//!
//! What has come of an upload is on the disk at once, and survives the death of this process.

mod change;
mod rows;
mod upload;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::blobs::remove;
use super::{Inner, Owner, StoreError, log, room};
use crate::ids;

pub use change::{Applied, Change};
pub use upload::Receiving;

/// How long an upload may take, from its beginning to its last byte.
const UPLOAD_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// What an upload of no announced size holds of its owner's room beyond what has come.
const STEP_BYTES: u64 = 16 << 20;
/// An upload to which nothing has come for so long holds no more room than what is there of it.
const HOLDS_FOR: Duration = Duration::from_secs(60 * 60);
/// Files and uploads of one owner.
const MAX_FILES: u64 = 10_000;

/// How much there may be, and how long. There is no default: whoever starts a server decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimits {
    /// Of one file.
    pub file_bytes: u64,
    /// Of all files and uploads of one owner.
    pub total_bytes: u64,
    pub lifetime: Duration,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub id: String,
    pub display_name: Option<String>,
    pub mime_type: String,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
    pub created: Timestamp,
    pub expires: Timestamp,
}

/// A file that is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Given here where the client has no wish.
    pub id: Option<String>,
    pub display_name: Option<String>,
    pub mime_type: String,
    /// How long it will be, where the client knows.
    pub bytes: Option<u64>,
}

/// An upload as it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Nobody can guess it: knowing it is the right to go on.
    pub id: String,
    pub owner: Owner,
    pub file: String,
    pub display_name: Option<String>,
    pub mime_type: String,
    pub bytes: Option<u64>,
    /// How much of the owner's room is kept for it.
    pub held: u64,
    pub begun: Timestamp,
}

/// Where an upload stands.
#[derive(Debug)]
pub enum Progress {
    Coming(Receiving),
    Done(File),
}

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("there is no upload of this name")]
    Unknown,
    #[error("another request is writing to this upload")]
    Busy,
    #[error("there is a file or an upload of this name already")]
    Taken,
    #[error("a file may have {0} bytes")]
    TooLarge(u64),
    #[error(
        "the files of one key may have {total_bytes} bytes together, and there may be {MAX_FILES}"
    )]
    Full { total_bytes: u64 },
    #[error("{received} bytes have come, and these are to begin at {offset}")]
    Gap { offset: u64, received: u64 },
    #[error("{announced} bytes were announced, and {received} have come")]
    WrongSize { announced: u64, received: u64 },
    #[error("the upload could not be written: {0}")]
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

    /// Whether a file may have so many bytes.
    pub fn allows(&self, bytes: u64) -> Result<(), UploadError> {
        let most = self.limits.file_bytes;
        if bytes > most { Err(UploadError::TooLarge(most)) } else { Ok(()) }
    }

    /// Begins an upload, and gives its id.
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

    /// Where an upload stands, ready to go on. Where a client says who it is, it has to be the upload's
    /// owner.
    pub async fn progress(
        &self,
        owner: Option<&Owner>,
        upload: &str,
    ) -> Result<Progress, UploadError> {
        if let Some(upload) = rows::upload(&self.store.readers, owner, upload).await? {
            let receiving = Receiving::open(self.clone(), upload).await;
            return Ok(Progress::Coming(self.noted(receiving)?));
        }
        let file = rows::of_upload(&self.store.readers, owner, upload, log::now()).await?;
        file.map(Progress::Done).ok_or(UploadError::Unknown)
    }

    pub async fn find(&self, owner: &Owner, id: &str) -> Result<Option<File>, StoreError> {
        rows::file(&self.store.readers, owner, id, log::now()).await
    }

    /// Up to `size` files in the order of their names, those after one of them.
    pub async fn list(
        &self,
        owner: &Owner,
        after: &str,
        size: usize,
    ) -> Result<Vec<File>, StoreError> {
        rows::list(&self.store.readers, owner, after, size, log::now()).await
    }

    /// All that is in a file.
    pub async fn content(&self, file: &File) -> Result<Bytes, StoreError> {
        self.store.blobs.read(&file.sha256).await
    }

    /// The first bytes of a file.
    pub async fn head(&self, file: &File, bytes: u64) -> Result<Bytes, StoreError> {
        self.store.blobs.read_first(&file.sha256, bytes.min(file.bytes)).await
    }

    /// Forgets a file, and says whether there was one.
    pub async fn delete(&self, owner: &Owner, id: &str) -> Result<bool, StoreError> {
        if self.find(owner, id).await?.is_none() {
            return Ok(false);
        }
        self.remove(Change::Delete { owner: owner.clone(), id: id.to_owned() }).await?;
        Ok(true)
    }

    /// Forgets the files and the uploads whose time is over, and what a server that died left of
    /// uploads.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), UploadError> {
        self.remove(Change::Expire { now, begun_before: before(now, UPLOAD_LIFETIME) }).await?;
        let mut there = Vec::new();
        let mut entries = tokio::fs::read_dir(self.folder()).await?;
        while let Some(entry) = entries.next_entry().await? {
            there.push(entry.path());
        }
        // Asked for after that: an upload has its row before its file, so whatever was there and has
        // no row now is nobody's, and one that begins in the meantime is not looked at.
        let known = rows::uploads(&self.store.readers).await?;
        for file in there {
            let upload = file.file_stem().and_then(OsStr::to_str); // a copy is its upload's
            if !upload.is_some_and(|upload| known.contains(upload)) {
                remove(&file).await?;
            }
        }
        self.let_go_of_room(now).await
    }

    /// Takes back the room of uploads to which nothing comes.
    async fn let_go_of_room(&self, now: Timestamp) -> Result<(), UploadError> {
        for upload in rows::holding(&self.store.readers).await? {
            let (bytes, last) = match tokio::fs::metadata(self.folder().join(&upload.id)).await {
                Ok(file) => (file.len(), file.modified()?.try_into().unwrap_or(upload.begun)),
                Err(_) => (0, upload.begun), // nothing has come at all
            };
            if bytes < upload.held && last < before(now, HOLDS_FOR) {
                let (upload, limits) = (upload.id, self.limits);
                self.change(Change::Hold { upload, bytes, limits }).await?;
            }
        }
        Ok(())
    }

    async fn change(&self, change: Change) -> Result<Applied, StoreError> {
        self.store.writer.change(change).await
    }

    /// A change that may leave blobs which nobody needs.
    async fn remove(&self, change: Change) -> Result<(), StoreError> {
        // From here on nobody can begin to use a blob that is about to go.
        let alone = self.store.blobs.alone().await;
        match self.change(change).await? {
            Applied::Done { unused } | Applied::Gone { unused } => {
                self.store.blobs.remove(&alone, &unused).await
            }
            Applied::Taken | Applied::Full => Ok(()),
        }
    }

    /// Notes a disk that is full, and lets the writer make what room it can.
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
