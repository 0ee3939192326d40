//! An upload that receives bytes.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::fs::OpenOptions;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::{Applied, Change, Files, STEP_BYTES, StoredFile, Upload, UploadError};
use crate::Owner;
use crate::blobs::remove;
use crate::log;

/// Size of the buffer for hashing.
const HASHED_BYTES: usize = 1 << 20;

/// Exclusive write access to an upload. Dropping it keeps the received bytes.
#[derive(Debug)]
pub struct Receiving {
    files: Files,
    upload: Upload,
    /// Locked while this exists, also against other processes.
    file: tokio::fs::File,
    path: PathBuf,
    received: u64,
}

impl Receiving {
    pub(super) async fn open(files: Files, upload: Upload) -> Result<Receiving, UploadError> {
        let path = files.folder().join(&upload.id);
        let mut file = open_locked(&path).await?;
        if file.metadata().await?.nlink() > 1 {
            // A server died between making a blob of it and writing the row. Copy it, so that the blob
            // is not changed.
            let copy = path.with_extension("copy");
            tokio::fs::copy(&path, &copy).await?;
            let locked = open_locked(&copy).await?;
            tokio::fs::rename(&copy, &path).await?;
            file = locked;
        }
        let received = file.seek(SeekFrom::End(0)).await?;
        Ok(Receiving { files, upload, file, path, received })
    }

    /// Whose upload it is.
    pub fn owner(&self) -> &Owner {
        &self.upload.owner
    }

    /// Number of bytes received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Continues at this offset and discards the bytes after it, which the client sends again.
    pub async fn resume_at(&mut self, offset: u64) -> Result<(), UploadError> {
        if offset > self.received {
            return Err(UploadError::Gap { offset, received: self.received });
        }
        let placed = self.truncate_to(offset).await;
        self.files.noted(placed.map_err(UploadError::from))?;
        self.received = offset;
        Ok(())
    }

    async fn truncate_to(&mut self, offset: u64) -> std::io::Result<()> {
        self.file.set_len(offset).await?;
        self.file.seek(SeekFrom::Start(offset)).await?;
        Ok(())
    }

    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let received = self.received + bytes.len() as u64;
        match self.upload.bytes {
            Some(announced) if received > announced => {
                return Err(UploadError::WrongSize { announced, received });
            }
            _ if received > self.files.limits.file_bytes => {
                return Err(UploadError::TooLarge(self.files.limits.file_bytes));
            }
            _ => {}
        }
        self.hold(received).await?;
        let written = self.file.write_all(bytes).await;
        self.files.noted(written.map_err(UploadError::from))?;
        self.received = received;
        Ok(())
    }

    /// Reserves the owner's quota for this number of bytes.
    async fn hold(&mut self, received: u64) -> Result<(), UploadError> {
        if received <= self.upload.held {
            return Ok(());
        }
        let limits = self.files.limits;
        let ahead = received.saturating_add(STEP_BYTES).min(limits.file_bytes);
        let bytes = self.upload.bytes.unwrap_or(ahead);
        let change = Change::Hold { upload: self.upload.id.clone(), bytes, limits };
        match self.files.change(change).await? {
            Applied::Done { .. } => {
                self.upload.held = bytes;
                Ok(())
            }
            Applied::Full => Err(UploadError::Full { total_bytes: limits.total_bytes }),
            Applied::Taken | Applied::Gone { .. } => Err(UploadError::Unknown),
        }
    }

    /// Passes buffered bytes to the kernel, so that they survive the death of this process.
    pub async fn flush(&mut self) -> Result<(), UploadError> {
        let flushed = self.file.flush().await;
        self.files.noted(flushed.map_err(UploadError::from))
    }

    /// Turns the upload into a file, even if this future is dropped.
    pub async fn finish(self) -> Result<StoredFile, UploadError> {
        let files = self.files.clone();
        files.noted(tokio::spawn(self.complete()).await.map_err(std::io::Error::other)?)
    }

    async fn complete(mut self) -> Result<StoredFile, UploadError> {
        if let Some(announced) = self.upload.bytes.filter(|bytes| *bytes != self.received) {
            let received = self.received;
            self.cancel().await?;
            return Err(UploadError::WrongSize { announced, received });
        }
        self.file.flush().await?;
        let content = self.file.into_std().await;
        // Keep it locked until the file exists.
        let (sha256, _locked) = tokio::task::spawn_blocking(move || hash(content))
            .await
            .map_err(std::io::Error::other)??;
        let created = log::now();
        let file = StoredFile {
            id: self.upload.file.clone(),
            display_name: self.upload.display_name,
            mime_type: self.upload.mime_type,
            bytes: self.received,
            sha256,
            created,
            expires: created
                .checked_add(self.files.limits.lifetime)
                .unwrap_or(jiff::Timestamp::MAX),
        };
        let pin = self.files.store.blobs.adopt(&self.path, &file.sha256).await?;
        let change =
            Change::Finish { upload: self.upload.id, owner: self.upload.owner, file: file.clone() };
        let applied = self.files.change(change).await;
        drop(pin);
        let applied = applied?;
        remove(&self.path).await?; // if this fails, the next sweep removes it
        match applied {
            Applied::Gone { unused } => {
                // The upload was swept or cancelled in the meantime.
                let exclusive = self.files.store.blobs.lock_exclusively().await;
                self.files.store.blobs.remove(&exclusive, &unused).await?;
                Err(UploadError::Unknown)
            }
            Applied::Done { .. } | Applied::Taken | Applied::Full => Ok(file),
        }
    }

    /// Deletes the upload and its received bytes.
    pub async fn cancel(self) -> Result<(), UploadError> {
        self.files.change(Change::Cancel { upload: self.upload.id }).await?;
        Ok(remove(&self.path).await?)
    }
}

/// Opens a file and locks it against other writers.
async fn open_locked(path: &Path) -> Result<tokio::fs::File, UploadError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    let file = options.open(path).await?.into_std().await;
    file.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => UploadError::Busy,
        std::fs::TryLockError::Error(error) => error.into(),
    })?;
    Ok(tokio::fs::File::from_std(file))
}

/// Syncs a file to the disk and hashes its content.
fn hash(mut file: std::fs::File) -> std::io::Result<(String, std::fs::File)> {
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; HASHED_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            length => hash.update(&piece[..length]),
        }
    }
    let name = hex::encode(hash.finalize());
    Ok((name, file))
}
