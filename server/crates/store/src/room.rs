//! Whether the data folder can be written, and why not.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::StoreError;

/// Size of the file that is written to check whether the disk has space.
const PROBE_BYTES: usize = 1 << 20;
/// SQLite's primary codes for an I/O error and for a file that cannot be opened, neither of which has a cause.
const UNEXPLAINED: [i32; 2] = [10, 14];

const WRITABLE: u8 = 0;
const FULL: u8 = 1;
const READ_ONLY: u8 = 2;

/// Whether a write failed because the disk is full or read-only, and no check since then found it
/// writable. A small write that succeeds does not count as a check. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DiskRoom(Arc<AtomicU8>);

impl DiskRoom {
    /// Records the result of a write.
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

    /// Tries to write to the folder and records the result.
    pub async fn check(&self, folder: &Path) {
        let folder = folder.to_owned();
        let probed = tokio::task::spawn_blocking(move || probe(&folder)).await;
        match probed {
            Ok(Ok(())) => {
                if self.0.swap(WRITABLE, Ordering::Relaxed) != WRITABLE {
                    tracing::info!("disk writable again");
                }
            }
            Ok(Err(error)) => {
                self.note(&Err::<(), _>(of_write(&error).unwrap_or(StoreError::Full)))
            }
            Err(_) => {} // the runtime is ending
        }
    }
}

/// The state of the data folder that caused an I/O error, if it is known.
pub fn of_io(error: &io::Error) -> Option<StoreError> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(StoreError::Full),
        io::ErrorKind::ReadOnlyFilesystem => Some(StoreError::ReadOnly),
        _ => None,
    }
}

/// The same for a failed write, for which a missing permission means a read-only folder.
fn of_write(error: &io::Error) -> Option<StoreError> {
    let is_forbidden = error.kind() == io::ErrorKind::PermissionDenied;
    of_io(error).or(is_forbidden.then_some(StoreError::ReadOnly))
}

/// Determines the cause of a failed write if its error has none, by another write: SQLite has one code
/// for an exceeded quota, a read-only file system and a broken disk.
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

/// Writes a temporary file.
fn probe(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![1; PROBE_BYTES])?;
    file.sync_all()
}
