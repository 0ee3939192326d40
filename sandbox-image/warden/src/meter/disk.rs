//! Disk space of a cell: its limit and its use.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use jail::host_root::{FOLDERS, SHARED_MEMORY};
use protocol::{CellLimits, Limit};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::meter::budget::TimeBudget;
use crate::meter::memory;
use crate::process::tree::is_gone;

/// Location of a cell's files.
#[derive(Debug)]
pub enum CellDisk {
    /// On a file system of the cell's own, in memory and with a size limit.
    Own {
        folder: OwnedFd,
        /// `00:2f`, as each mapping of one of its files shows it.
        device: String,
    },
    /// In a folder of a file system that others also use, and in the shared memory of the machine, where
    /// the cell's files are those of its user. The warden has to count them.
    Shared {
        folder: OwnedFd,
        user: u32,
        /// The device of shared memory, if there is any.
        device: Option<String>,
    },
}

/// Used and free space of a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskSpace {
    pub used_bytes: u64,
    /// The part of it that is in memory.
    pub in_memory_bytes: u64,
    pub free_files: u64,
}

/// Size of a block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;
/// A shared file system uses blocks for itself, such as the list of a file's blocks: at most this fraction.
/// Without the allowance a file of the maximum size would exceed the limit.
const OVERHEAD: u64 = 64;

impl CellDisk {
    /// The file system of this work directory.
    pub fn own(workspace: impl AsFd) -> io::Result<CellDisk> {
        let folder = workspace.as_fd().try_clone_to_owned()?;
        let device = name(rustix::fs::fstat(&folder)?.st_dev);
        Ok(CellDisk::Own { folder, device })
    }

    /// This folder and everything below it. The owner of the work directory in it is the cell's user.
    pub fn shared(folder: BorrowedFd<'_>) -> io::Result<CellDisk> {
        let [workspace, _] = FOLDERS;
        Ok(CellDisk::Shared {
            folder: folder.try_clone_to_owned()?,
            user: statat(folder, workspace, AtFlags::SYMLINK_NOFOLLOW)?.st_uid,
            device: rustix::fs::stat(SHARED_MEMORY).ok().map(|about| name(about.st_dev)),
        })
    }

    /// Counting a shared folder stops once a limit is exceeded.
    pub fn space(&self, limits: &CellLimits) -> io::Result<DiskSpace> {
        match self {
            CellDisk::Own { folder, .. } => {
                let about = rustix::fs::fstatfs(folder)?;
                let used = u64::try_from(about.f_bsize).unwrap_or(0)
                    * about.f_blocks.saturating_sub(about.f_bfree);
                Ok(DiskSpace { used_bytes: used, in_memory_bytes: used, free_files: about.f_ffree })
            }
            CellDisk::Shared { folder, user, .. } => {
                let mut count = FileCount { limits: *limits, files: 0, bytes: 0 };
                count.all_of(Path::new(SHARED_MEMORY), *user)?;
                let in_memory_bytes = count.bytes;
                count.all_below(folder.as_fd())?;
                let free_files = limits.scratch_files.saturating_sub(count.files);
                Ok(DiskSpace { used_bytes: count.bytes, in_memory_bytes, free_files })
            }
        }
    }

    /// The limit that a shared folder exceeds. On a file system of the cell's own the kernel enforces limits.
    pub fn past(&self, space: DiskSpace, limits: &CellLimits) -> Option<Limit> {
        match self {
            CellDisk::Own { .. } => None,
            CellDisk::Shared { .. } if space.used_bytes > most(limits) => {
                Some(Limit::DiskBytes(limits.scratch_bytes))
            }
            CellDisk::Shared { .. } if space.free_files == 0 => {
                Some(Limit::DiskFiles(limits.scratch_files))
            }
            CellDisk::Shared { .. } => None,
        }
    }

    /// The device that has only this cell's files.
    pub fn own_device(&self) -> Option<&str> {
        match self {
            CellDisk::Own { device, .. } => Some(device),
            CellDisk::Shared { .. } => None,
        }
    }

    /// Bytes of the disk's files that a process has mapped, which are therefore also in the count of the
    /// process. `None` if the budget is spent first.
    pub fn mapped(&self, process: i32, budget: &TimeBudget) -> Option<u64> {
        match self {
            CellDisk::Own { device, .. } | CellDisk::Shared { device: Some(device), .. } => {
                memory::mapped(process, device, budget)
            }
            CellDisk::Shared { device: None, .. } => Some(0),
        }
    }
}

/// Name of a device as each mapping of one of its files shows it.
fn name(device: u64) -> String {
    format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device))
}

fn most(limits: &CellLimits) -> u64 {
    limits.scratch_bytes.saturating_add(limits.scratch_bytes / OVERHEAD)
}

/// Counts files, and stops once a limit is exceeded.
struct FileCount {
    limits: CellLimits,
    files: u64,
    bytes: u64,
}

impl FileCount {
    fn add(&mut self, about: &rustix::fs::Stat) {
        self.files += 1;
        self.bytes += u64::try_from(about.st_blocks).unwrap_or(0) * BLOCK_BYTES;
    }

    fn is_too_much(&self) -> bool {
        self.files > self.limits.scratch_files || self.bytes > most(&self.limits)
    }

    /// Uses descriptors and follows no links, because the owner can change the folder meanwhile. Files that
    /// are removed meanwhile take no space; a file that cannot be examined is an error.
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
                // It was replaced meanwhile.
                Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Counts this user's files in a folder in which all cells have files, and no folders.
    fn all_of(&mut self, folder: &Path, user: u32) -> io::Result<()> {
        let open = rustix::fs::openat(rustix::fs::CWD, folder, LIST, Mode::empty());
        let mut entries = match open.and_then(Dir::new) {
            // A folder that is missing or that cells cannot open has no files of theirs.
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
    fn a_file_system_in_memory_is_distinguished_from_others() {
        let file = std::fs::File::open("/proc/self/exe").expect("this program is a file");
        let disk = CellDisk::own(&file).expect("it is open");
        assert!(disk.space(&limits(0, 0)).expect("it is open").used_bytes > 0);
        let me = std::process::id().cast_signed();
        let mapped = disk.mapped(me, &TimeBudget::new());
        assert!(mapped.is_some_and(|bytes| bytes > 0), "this program is mapped");
        let proc = std::fs::File::open("/proc").expect("it is there");
        assert_eq!(
            CellDisk::own(proc).expect("it is open").mapped(me, &TimeBudget::new()),
            Some(0)
        );
    }

    #[test]
    fn a_shared_folder_is_counted_recursively_and_without_following_links() {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let outside = tempfile::tempdir().expect("there is a place for temporary files");
        std::fs::write(outside.path().join("large"), vec![1; 1 << 20]).expect("it is ours");
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).expect("ours");
        let deep = folder.path().join("workspace/b/c");
        std::fs::create_dir_all(&deep).expect("it is ours");
        std::fs::write(deep.join("file"), vec![1; 100_000]).expect("it is ours");

        let open = std::fs::File::open(folder.path()).expect("it is ours");
        let mut disk = CellDisk::shared(open.as_fd()).expect("it is open");
        if let CellDisk::Shared { user, .. } = &mut disk {
            *user = u32::MAX; // unused user: other files in shared memory do not concern this test
        }
        let space = disk.space(&limits(1 << 20, 100)).expect("it is open");
        assert!((100_000..200_000).contains(&space.used_bytes), "{space:?}");
        assert_eq!(space.free_files, 95, "link, workspace, b, c and file");
        let full = disk.space(&limits(1 << 20, 3)).expect("it is open");
        assert_eq!(full.free_files, 0, "it stops at the limit");
        assert_eq!(disk.past(full, &limits(1 << 20, 3)), Some(Limit::DiskFiles(3)));
        assert_eq!(disk.past(space, &limits(1 << 10, 100)), Some(Limit::DiskBytes(1 << 10)));
        assert_eq!(disk.past(space, &limits(1 << 20, 100)), None);
    }
}
