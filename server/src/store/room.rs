//! Whether the data folder can be written, and why not.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::StoreError;

/// What has to fit for the disk to count as one with room.
const PROBE_BYTES: usize = 1 << 20;
/// SQLite's primary codes for failed input or output and for a file that does not open. They do not say why.
const UNEXPLAINED: [i32; 2] = [10, 14];

const WRITABLE: u8 = 0;
const FULL: u8 = 1;
const READ_ONLY: u8 = 2;

/// Whether a write has failed because the disk is full or read-only, and no check since then has found it writable.
/// A small write that succeeds is not such a check. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DiskRoom(Arc<AtomicU8>);

impl DiskRoom {
    /// Notes the result of a write.
    pub fn note<T>(&self, result: &Result<T, StoreError>) {
        let (state, message) = match result {
            Err(StoreError::Full) => (FULL, "disk full, nothing can be stored"),
            Err(StoreError::ReadOnly) => {
                (READ_ONLY, "data folder read-only, nothing can be stored")
            }
            _ => return,
        };
        if self.0.swap(state, Ordering::Relaxed) != state {
            tracing::error!("{message}");
        }
    }

    /// Why nothing can be stored, if that is so.
    pub fn problem(&self) -> Option<StoreError> {
        match self.0.load(Ordering::Relaxed) {
            FULL => Some(StoreError::Full),
            READ_ONLY => Some(StoreError::ReadOnly),
            _ => None,
        }
    }

    /// Writes to a folder that could not be written, and notes what comes of it.
    pub async fn check(&self, folder: &Path) {
        let folder = folder.to_owned();
        let probed = tokio::task::spawn_blocking(move || probe(&folder)).await;
        match probed {
            Ok(Ok(())) => {
                if self.0.swap(WRITABLE, Ordering::Relaxed) != WRITABLE {
                    tracing::info!("disk has room again");
                }
            }
            Ok(Err(error)) => {
                self.note(&Err::<(), _>(of_write(&error).unwrap_or(StoreError::Full)))
            }
            Err(_) => {} // the runtime is ending
        }
    }
}

/// What an error of the file system says about the data folder.
pub fn of_io(error: &io::Error) -> Option<StoreError> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(StoreError::Full),
        io::ErrorKind::ReadOnlyFilesystem => Some(StoreError::ReadOnly),
        _ => None,
    }
}

/// The same for an error of a write, where a missing permission says it too.
fn of_write(error: &io::Error) -> Option<StoreError> {
    let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
    of_io(error).or(is_forbidden.then_some(StoreError::ReadOnly))
}

/// Finds out why a write has failed, where its error does not say that: SQLite has one code for a user's exceeded quota,
/// a read-only file system and a broken disk.
pub async fn explained<T>(result: Result<T, StoreError>, folder: &Path) -> Result<T, StoreError> {
    match result {
        Err(error) if is_unexplained(&error) => {
            let folder = folder.to_owned();
            let probed = tokio::task::spawn_blocking(move || probe(&folder)).await;
            match probed {
                Ok(Err(cause)) => Err(of_write(&cause).unwrap_or(error)),
                Ok(Ok(())) | Err(_) => Err(error),
            }
        }
        result => result,
    }
}

fn is_unexplained(error: &StoreError) -> bool {
    match error {
        StoreError::Database(error) => {
            super::sqlite_code(error).is_some_and(|code| UNEXPLAINED.contains(&(code & 0xff)))
        }
        StoreError::Blobs(_) => true,
        _ => false,
    }
}

/// Writes a file that goes away by itself.
fn probe(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![1; PROBE_BYTES])?;
    file.sync_all()
}
