//! Disk space reserved for two operations that must work on a full disk: checkpoints, which grow the
//! database, and deletions.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

pub const FILE: &str = "reserve";

/// The reserve takes this fraction of the disk (1/8).
const SHARE: u64 = 8;
const MIN_BYTES: u64 = 2 << 20;
const MAX_BYTES: u64 = 16 << 20;
/// A smaller reserve is useless.
const LEAST_BYTES: u64 = 256 << 10;
/// This fraction of the reserve (1/4) is for deletions. The rest is for checkpoints.
const DELETION_SHARE: u64 = 4;
/// Size of one write if the file system cannot allocate space.
const PIECE_BYTES: usize = 64 << 10;

/// Size and free space of a disk.
#[derive(Debug, Clone, Copy)]
pub struct DiskBytes {
    pub all: u64,
    /// Unused bytes, some of which may be reserved for root.
    pub unused: u64,
    /// Bytes available to every user.
    pub free: u64,
}

/// Size and free space of the disk of this folder.
pub fn disk_bytes(folder: &Path) -> Option<DiskBytes> {
    let disk = statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    let (all, unused, free) = (bytes(disk.f_blocks), bytes(disk.f_bfree), bytes(disk.f_bavail));
    Some(DiskBytes { all, unused, free })
}

/// A file that occupies disk space until the space is needed.
#[derive(Debug)]
pub struct Reserve {
    file: PathBuf,
    /// Intended size.
    whole: u64,
    /// Current size.
    held: u64,
}

impl Reserve {
    /// Opens the reserve that the last server left.
    pub fn open(folder: &Path) -> Reserve {
        let file = folder.join(FILE);
        let whole = disk_bytes(folder).map_or(MAX_BYTES, |disk| size(disk.all));
        let held = std::fs::metadata(&file).map_or(0, |file| file.len());
        Reserve { file, whole, held }
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    /// The intended size.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    pub fn is_whole(&self) -> bool {
        self.held >= self.whole
    }

    /// Whether the reserve has space for this growth of the database and for a deletion before it.
    pub fn covers(&self, bytes: u64) -> bool {
        self.with_deletions(bytes) <= self.held
    }

    fn with_deletions(&self, bytes: u64) -> u64 {
        bytes.saturating_add(self.whole / DELETION_SHARE)
    }

    /// The largest growth that the full reserve covers.
    pub fn most(&self) -> u64 {
        self.whole - self.whole / DELETION_SHARE
    }

    /// Enlarges the reserve to cover this growth of the database; returns whether it succeeded.
    pub fn grow(&mut self, bytes: u64) -> bool {
        self.resize(self.with_deletions(bytes).max(self.whole)).is_ok()
    }

    /// Reduces an enlarged reserve to its intended size if that covers this growth of the database.
    pub fn shrink(&mut self, bytes: u64) {
        if self.held > self.whole && self.with_deletions(bytes) <= self.whole {
            // The next call tries again.
            let _ = self.resize(self.whole);
        }
    }

    /// Keeps only the part for deletions; for a transaction that does not grow the database.
    pub fn lend(&mut self) -> bool {
        self.resize(self.with_deletions(0).min(self.held)).is_ok()
    }

    pub fn release(&mut self) {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "could not release the disk reserve");
            }
            _ => self.held = 0,
        }
    }

    /// Allocates the reserve again, or as much of it as the disk has space for.
    pub fn restore(&mut self) {
        let mut size = self.whole;
        while self.held < size && self.resize(size).is_err() {
            size /= 2;
            if size < LEAST_BYTES {
                return;
            }
        }
    }

    fn resize(&mut self, size: u64) -> io::Result<()> {
        let options = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.file);
        let mut file = options?;
        let resized = if size > self.held {
            allocate(&mut file, self.held, size)
        } else {
            file.set_len(size)
        };
        match resized {
            Ok(()) => self.held = size,
            // A part may have been allocated.
            Err(_) if self.held > 0 => file.set_len(self.held)?,
            Err(_) => std::fs::remove_file(&self.file)?,
        }
        resized
    }
}

/// The intended size of the reserve on a disk of this size.
fn size(disk: u64) -> u64 {
    (disk / SHARE).clamp(MIN_BYTES, MAX_BYTES)
}

/// Enlarges a file and allocates disk space for all of it.
fn allocate(file: &mut File, from: u64, to: u64) -> io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), from, to - from) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
    }
    file.seek(SeekFrom::Start(from))?;
    // Not zeros, for which some file systems allocate no space.
    let piece = vec![1; PIECE_BYTES];
    let mut left = to - from;
    while left > 0 {
        let length = left.min(PIECE_BYTES as u64);
        file.write_all(&piece[..usize::try_from(length).unwrap_or(PIECE_BYTES)])?;
        left -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_reserve_is_an_eighth_of_a_small_disk() {
        for (disk, wanted) in [(12, 2), (40, 5), (64, 8), (128, 16), (1 << 20, 16)] {
            assert_eq!(size(disk * MIB), wanted * MIB, "a disk of {disk} MiB");
        }
    }

    #[test]
    fn a_reserve_grows_for_a_large_write_and_shrinks_again() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let mut reserve = Reserve { file: folder.path().join(FILE), whole: 4 * MIB, held: 0 };
        let on_disk = || std::fs::metadata(folder.path().join(FILE)).map_or(0, |file| file.len());
        assert!(!reserve.covers(0), "there is none yet");
        reserve.restore();
        assert_eq!((reserve.held(), on_disk()), (4 * MIB, 4 * MIB));
        assert!(reserve.covers(3 * MIB) && !reserve.covers(3 * MIB + 1));
        assert!(reserve.grow(10 * MIB) && reserve.covers(10 * MIB));
        assert_eq!(on_disk(), 11 * MIB);
        reserve.shrink(4 * MIB);
        assert_eq!(on_disk(), 11 * MIB, "that much is needed");
        reserve.shrink(0);
        assert_eq!((reserve.held(), on_disk()), (4 * MIB, 4 * MIB));
        reserve.release();
        assert_eq!((reserve.held(), on_disk()), (0, 0));
    }
}
