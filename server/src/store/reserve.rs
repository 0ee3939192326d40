//! Room on the disk that is given up where a deletion needs some: a full disk must not keep anybody
//! from making room. And whether the disk is full.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StoreError;

pub const FILE: &str = "reserve";
/// What a deletion may write to the log of the database before it frees anything.
const RESERVE_BYTES: usize = 2 << 20;
/// What has to fit for the disk to count as one with room.
const PROBE_BYTES: usize = 1 << 20;

/// Whether a write has failed for want of room, and nothing has shown since that there is some. That
/// something small still fits shows nothing. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DiskRoom(Arc<AtomicBool>);

impl DiskRoom {
    /// Notes what came of a write.
    pub fn note<T>(&self, result: &Result<T, StoreError>) {
        let is_full = matches!(result, Err(StoreError::Full));
        if is_full && !self.0.swap(true, Ordering::Relaxed) {
            tracing::error!("disk full, nothing can be stored");
        }
    }

    /// There is room again.
    fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
        tracing::info!("disk has room again");
    }

    /// Whether anything can be stored. A disk that was full is tried.
    pub fn is_there(&self, folder: &Path) -> bool {
        if !self.is_full() {
            return true;
        }
        let has_room = probe(folder).is_ok();
        if has_room {
            self.clear();
        }
        has_room
    }

    pub fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether an error says that the disk is full, or the user's share of it.
pub fn says_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Tries whether there is room again.
fn probe(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![1; PROBE_BYTES])?;
    file.sync_all()
}

/// A file of some size, held until the room is needed.
#[derive(Debug)]
pub struct Reserve(PathBuf);

impl Reserve {
    /// Makes the file where there is room for it.
    pub fn open(folder: &Path) -> Reserve {
        let reserve = Reserve(folder.join(FILE));
        reserve.restore();
        reserve
    }

    pub fn release(&self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "could not release the disk reserve");
        }
    }

    /// Takes the room again, if it was given up and is there.
    pub fn restore(&self) {
        let size = std::fs::metadata(&self.0).map_or(0, |file| file.len());
        if size >= RESERVE_BYTES as u64 {
            return;
        }
        // Zeros could be left out by the file system.
        let options =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.0);
        let made = options.and_then(|mut file| file.write_all(&vec![1; RESERVE_BYTES]));
        if made.is_err() {
            // Half of it helps nobody. It is tried again after the next deletion.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
