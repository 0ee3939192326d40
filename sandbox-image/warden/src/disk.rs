//! The room that a cell has for files, and what it has taken of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use jail::shared::{FOLDERS, SHARED_MEMORY};
use protocol::{CellLimits, Limit};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::budget::Budget;
use crate::memory;
use crate::tree::is_gone;

/// Where a cell's files are.
#[derive(Debug)]
pub enum Disk {
    /// On a file system of their own, which lies in memory and has an end.
    Own {
        folder: OwnedFd,
        /// `00:2f`, as it stands before each mapping of one of its files.
        device: String,
    },
    /// In a folder of a file system that others have as well, and what is its user's of the shared
    /// memory of all: somebody has to count.
    Shared {
        folder: OwnedFd,
        user: u32,
        /// That of shared memory, where there is some.
        device: Option<String>,
    },
}

/// What is left of a disk, and what is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    pub used_bytes: u64,
    /// What of them is memory.
    pub in_memory_bytes: u64,
    pub free_files: u64,
}

/// Blocks, as `stat` counts them.
const BLOCK_BYTES: u64 = 512;
/// A file system that others have as well takes some for itself, such as the list of a file's blocks:
/// no more than this part, and without it a file that is as large as one may be would be too large.
const OVERHEAD: u64 = 64;

impl Disk {
    /// The one on which this work directory lies.
    pub fn own(workspace: impl AsFd) -> io::Result<Disk> {
        let folder = workspace.as_fd().try_clone_to_owned()?;
        let device = name(rustix::fs::fstat(&folder)?.st_dev);
        Ok(Disk::Own { folder, device })
    }

    /// This folder, and all below it. Whoever has the work directory in it is the cell's user.
    pub fn shared(folder: BorrowedFd<'_>) -> io::Result<Disk> {
        let [workspace, _] = FOLDERS;
        Ok(Disk::Shared {
            folder: folder.try_clone_to_owned()?,
            user: statat(folder, workspace, AtFlags::SYMLINK_NOFOLLOW)?.st_uid,
            device: rustix::fs::stat(SHARED_MEMORY).ok().map(|about| name(about.st_dev)),
        })
    }

    /// A look at a shared folder ends when it has seen too much.
    pub fn room(&self, limits: &CellLimits) -> io::Result<Room> {
        match self {
            Disk::Own { folder, .. } => {
                let about = rustix::fs::fstatfs(folder)?;
                let used = u64::try_from(about.f_bsize).unwrap_or(0)
                    * about.f_blocks.saturating_sub(about.f_bfree);
                Ok(Room { used_bytes: used, in_memory_bytes: used, free_files: about.f_ffree })
            }
            Disk::Shared { folder, user, .. } => {
                let mut count = Count { limits: *limits, files: 0, bytes: 0 };
                count.all_of(Path::new(SHARED_MEMORY), *user)?;
                let in_memory_bytes = count.bytes;
                count.all_below(folder.as_fd())?;
                let free_files = limits.scratch_files.saturating_sub(count.files);
                Ok(Room { used_bytes: count.bytes, in_memory_bytes, free_files })
            }
        }
    }

    /// The limit that a shared folder is past. A file system of the cell's own keeps its limits itself.
    pub fn past(&self, room: Room, limits: &CellLimits) -> Option<Limit> {
        match self {
            Disk::Own { .. } => None,
            Disk::Shared { .. } if room.used_bytes > most(limits) => {
                Some(Limit::DiskBytes(limits.scratch_bytes))
            }
            Disk::Shared { .. } if room.free_files == 0 => {
                Some(Limit::DiskFiles(limits.scratch_files))
            }
            Disk::Shared { .. } => None,
        }
    }

    /// The device that nobody else has files on.
    pub fn own_device(&self) -> Option<&str> {
        match self {
            Disk::Own { device, .. } => Some(device),
            Disk::Shared { .. } => None,
        }
    }

    /// How much of its files a process has mapped, and so has in its own count as well. Nothing where the
    /// budget does not suffice to tell.
    pub fn mapped(&self, process: i32, budget: &Budget) -> Option<u64> {
        match self {
            Disk::Own { device, .. } | Disk::Shared { device: Some(device), .. } => {
                memory::mapped(process, device, budget)
            }
            Disk::Shared { device: None, .. } => Some(0),
        }
    }
}

/// A device as it stands before each mapping of one of its files.
fn name(device: u64) -> String {
    format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device))
}

fn most(limits: &CellLimits) -> u64 {
    limits.scratch_bytes.saturating_add(limits.scratch_bytes / OVERHEAD)
}

/// What was seen so far. It ends where it knows enough.
struct Count {
    limits: CellLimits,
    files: u64,
    bytes: u64,
}

impl Count {
    fn add(&mut self, about: &rustix::fs::Stat) {
        self.files += 1;
        self.bytes += u64::try_from(about.st_blocks).unwrap_or(0) * BLOCK_BYTES;
    }

    fn is_too_much(&self) -> bool {
        self.files > self.limits.scratch_files || self.bytes > most(&self.limits)
    }

    /// By descriptor, and through no link: whoever owns the folder can change it while we look. What goes
    /// meanwhile takes no room; what cannot be looked at is an error.
    fn all_below(&mut self, folder: BorrowedFd<'_>) -> io::Result<()> {
        let mut open = vec![list(folder, c".")?];
        while let Some(folder) = open.last_mut() {
            let entry = match folder.read() {
                None => None,
                Some(entry) => unless_gone(entry)?,
            };
            let Some(entry) = entry else {
                open.pop();
                continue;
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let folder = folder.fd()?;
            let about = unless_gone(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW))?;
            let Some(about) = about else { continue };
            self.add(&about);
            if self.is_too_much() {
                break;
            }
            if FileType::from_raw_mode(about.st_mode) != FileType::Directory {
                continue;
            }
            match list(folder, name) {
                Ok(below) => open.push(below),
                // Something else is in its place.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What is this user's of a folder in which all cells have files, and no folders.
    fn all_of(&mut self, folder: &Path, user: u32) -> io::Result<()> {
        let open = rustix::fs::openat(rustix::fs::CWD, folder, LIST, Mode::empty());
        let mut entries = match open.and_then(Dir::new) {
            // Where there is no such folder, or none that may be looked at, there is nothing in it.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => return Ok(()),
            entries => entries?,
        };
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let about = statat(entries.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
            match unless_gone(about)? {
                Some(about) if about.st_uid == user => self.add(&about),
                _ => {}
            }
            if self.is_too_much() {
                break;
            }
        }
        Ok(())
    }
}

fn unless_gone<T>(answer: Result<T, Errno>) -> io::Result<Option<T>> {
    match answer.map_err(io::Error::from) {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

const LIST: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn list(folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<Dir, Errno> {
    Dir::new(openat(folder, name, LIST, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(scratch_bytes: u64, scratch_files: u64) -> CellLimits {
        CellLimits { scratch_bytes, scratch_files, ..CellLimits::NOTHING }
    }

    #[test]
    fn a_file_system_in_memory_is_told_from_others() {
        let file = std::fs::File::open("/proc/self/exe").expect("this program is a file");
        let disk = Disk::own(&file).expect("it is open");
        assert!(disk.room(&limits(0, 0)).expect("it is open").used_bytes > 0);
        let me = std::process::id().cast_signed();
        let mapped = disk.mapped(me, &Budget::new());
        assert!(mapped.is_some_and(|bytes| bytes > 0), "this program is mapped");
        let proc = std::fs::File::open("/proc").expect("it is there");
        assert_eq!(Disk::own(proc).expect("it is open").mapped(me, &Budget::new()), Some(0));
    }

    #[test]
    fn a_shared_folder_is_counted_to_its_depths_and_through_no_link() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let outside = tempfile::tempdir().expect("there is a place for temporary files");
        std::fs::write(outside.path().join("large"), vec![1; 1 << 20]).expect("it is ours");
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).expect("ours");
        let deep = folder.path().join("workspace/b/c");
        std::fs::create_dir_all(&deep).expect("it is ours");
        std::fs::write(deep.join("file"), vec![1; 100_000]).expect("it is ours");

        let open = std::fs::File::open(folder.path()).expect("it is ours");
        let mut disk = Disk::shared(open.as_fd()).expect("it is open");
        if let Disk::Shared { user, .. } = &mut disk {
            *user = u32::MAX; // nobody: what others have in shared memory is none of this test's
        }
        let room = disk.room(&limits(1 << 20, 100)).expect("it is open");
        assert!((100_000..200_000).contains(&room.used_bytes), "{room:?}");
        assert_eq!(room.free_files, 95, "link, workspace, b, c and file");
        let full = disk.room(&limits(1 << 20, 3)).expect("it is open");
        assert_eq!(full.free_files, 0, "it stops where it knows enough");
        assert_eq!(disk.past(full, &limits(1 << 20, 3)), Some(Limit::DiskFiles(3)));
        assert_eq!(disk.past(room, &limits(1 << 10, 100)), Some(Limit::DiskBytes(1 << 10)));
        assert_eq!(disk.past(room, &limits(1 << 20, 100)), None);
    }
}
