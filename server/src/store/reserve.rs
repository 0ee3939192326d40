//! Room on the disk that is kept for two things: moving the write-ahead log into the database, which grows by that, and
//! deleting. So whatever was written can be moved, and deleted, when the disk is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

pub const FILE: &str = "reserve";

/// The part of the disk that the reserve takes: one of so many.
const SHARE: u64 = 8;
const MIN_BYTES: u64 = 2 << 20;
const MAX_BYTES: u64 = 16 << 20;
/// A smaller reserve is of no use.
const LEAST_BYTES: u64 = 256 << 10;
/// The part of the reserve that is for deletions: one of so many. The rest is for moving the log.
const DELETION_SHARE: u64 = 4;
/// What is written at a time where the file system cannot allocate room.
const PIECE_BYTES: usize = 64 << 10;

/// A disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct DiskBytes {
    pub all: u64,
    /// What is not used, though a part of it may be for root alone.
    pub unused: u64,
    /// What every user can have.
    pub free: u64,
}

/// The disk that this folder is on.
pub fn disk_bytes(folder: &Path) -> Option<DiskBytes> {
    let disk = statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    let (all, unused, free) = (bytes(disk.f_blocks), bytes(disk.f_bfree), bytes(disk.f_bavail));
    Some(DiskBytes { all, unused, free })
}

/// A file of some size, held until the room is needed.
#[derive(Debug)]
pub struct Reserve {
    file: PathBuf,
    /// How large it is to be.
    whole: u64,
    /// How large it is.
    held: u64,
}

impl Reserve {
    /// The reserve as the last server left it.
    pub fn open(folder: &Path) -> Reserve {
        let file = folder.join(FILE);
        let whole = disk_bytes(folder).map_or(MAX_BYTES, |disk| size(disk.all));
        let held = std::fs::metadata(&file).map_or(0, |file| file.len());
        Reserve { file, whole, held }
    }

    pub fn held(&self) -> u64 {
        self.held
    }

    /// How large it is where there is room.
    pub fn whole(&self) -> u64 {
        self.whole
    }

    pub fn is_whole(&self) -> bool {
        self.held >= self.whole
    }

    /// Whether the database can grow by so many bytes, and something can be deleted before that.
    pub fn covers(&self, bytes: u64) -> bool {
        self.with_deletions(bytes) <= self.held
    }

    fn with_deletions(&self, bytes: u64) -> u64 {
        bytes.saturating_add(self.whole / DELETION_SHARE)
    }

    /// How much it covers when it is whole.
    pub fn most(&self) -> u64 {
        self.whole - self.whole / DELETION_SHARE
    }

    /// Takes what is missing for the database to grow by so many bytes, and says whether that is there.
    pub fn grow(&mut self, bytes: u64) -> bool {
        self.resize(self.with_deletions(bytes).max(self.whole)).is_ok()
    }

    /// Gives back what was taken beyond its size, where the database grows by so few bytes.
    pub fn shrink(&mut self, bytes: u64) {
        if self.held > self.whole && self.with_deletions(bytes) <= self.whole {
            // It is tried again the next time.
            let _ = self.resize(self.whole);
        }
    }

    /// Keeps the part for deletions and gives the rest back, where the database does not grow.
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

    /// Takes the room again, or as much of it as is there.
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
            // A part of it may be there.
            Err(_) if self.held > 0 => file.set_len(self.held)?,
            Err(_) => std::fs::remove_file(&self.file)?,
        }
        resized
    }
}

/// How large the reserve is on a disk of so many bytes.
fn size(disk: u64) -> u64 {
    (disk / SHARE).clamp(MIN_BYTES, MAX_BYTES)
}

/// Makes a file larger, with room on the disk for all of it.
fn allocate(file: &mut File, from: u64, to: u64) -> io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), from, to - from) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
    }
    file.seek(SeekFrom::Start(from))?;
    // Zeros could be left out by the file system.
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
