//! Files of a work directory by path, for the client of a cell that is kept.

use std::ffi::CString;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;

use protocol::FileEntry;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, StatxFlags, ftruncate, mkdirat, openat2, statat, statx,
    unlinkat,
};
use rustix::io::Errno;

use super::{FileStamp, STAY_INSIDE, Workspace, as_user};

/// Maximum length of a path, and of a name in it.
const MAX_PATH_BYTES: usize = 4095;
const MAX_NAME_BYTES: usize = 255;

/// A part of a file.
#[derive(Debug)]
pub struct ReadPart {
    pub data: Vec<u8>,
    /// Size of the whole file.
    pub total_bytes: u64,
    /// Differs after a change of the file.
    pub version: u64,
}

impl Workspace {
    /// All regular files, sorted by path, and whether some are missing because of a limit.
    pub fn list(&self, most: usize) -> (Vec<FileEntry>, bool) {
        let (files, is_cut) = self.look();
        let mut files: Vec<FileEntry> = files
            .into_iter()
            .map(|(path, stamp)| {
                let (seconds, nanoseconds) = stamp.changed;
                let seconds = u64::try_from(seconds).unwrap_or(0);
                FileEntry {
                    path: path.to_string_lossy().into_owned(),
                    bytes: stamp.bytes,
                    modified_ms: seconds.saturating_mul(1000) + u64::from(nanoseconds / 1_000_000),
                }
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let is_cut = is_cut || files.len() > most;
        files.truncate(most);
        (files, is_cut)
    }

    /// Reads at most `bytes` of a regular file.
    pub fn read_part(&self, path: &str, offset: u64, bytes: u64) -> io::Result<ReadPart> {
        check(path)?;
        let file = self.open_to_read(&CString::new(path)?)?;
        let stamp = stamp(&file)?;
        let length = bytes.min(stamp.bytes.saturating_sub(offset));
        let mut data = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let mut read = 0;
        while read < data.len() {
            match file.read_at(&mut data[read..], offset + read as u64)? {
                0 => break, // it has become shorter
                more => read += more,
            }
        }
        data.truncate(read);
        let mut hasher = DefaultHasher::new();
        stamp.hash(&mut hasher);
        Ok(ReadPart { data, total_bytes: stamp.bytes, version: hasher.finish() })
    }

    /// Writes a file, replaces an existing one, and creates missing folders. `owner` is as in [`Self::put`].
    pub fn write(&mut self, path: &str, content: &[u8], owner: Option<u32>) -> io::Result<()> {
        let write = || {
            let (folder, name) = self.parent(path, MissingFolders::Create)?;
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::NONBLOCK
                | OFlags::NOCTTY
                | OFlags::CLOEXEC;
            let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
            let mut file = File::from(openat2(&folder, name, flags, mode, STAY_INSIDE)?);
            require_regular(&file)?;
            ftruncate(&file, 0)?;
            file.write_all(content)?;
            stamp(&file)
        };
        let stamp = match owner {
            None => write(),
            Some(owner) => as_user(owner, write),
        }?;
        self.seen.insert(CString::new(path)?, stamp); // not written by the code
        Ok(())
    }

    /// Deletes a file, a link or an empty folder.
    pub fn delete(&mut self, path: &str, owner: Option<u32>) -> io::Result<()> {
        let delete = || {
            let (folder, name) = self.parent(path, MissingFolders::Fail)?;
            let about = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let flags = match FileType::from_raw_mode(about.st_mode) {
                FileType::Directory => AtFlags::REMOVEDIR,
                _ => AtFlags::empty(),
            };
            Ok(unlinkat(&folder, name, flags)?)
        };
        match owner {
            None => delete(),
            Some(owner) => as_user(owner, delete),
        }?;
        self.put.remove(path);
        Ok(())
    }

    /// The folder of this path, and the name in it.
    fn parent<'p>(&self, path: &'p str, missing: MissingFolders) -> io::Result<(OwnedFd, &'p str)> {
        check(path)?;
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folder = self.folder.as_fd().try_clone_to_owned()?;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = |folder: &OwnedFd| openat2(folder, part, flags, Mode::empty(), STAY_INSIDE);
            folder = match open(&folder) {
                Err(Errno::NOENT) if missing == MissingFolders::Create => {
                    let others = Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
                    mkdirat(&folder, part, Mode::RWXU | others)?;
                    open(&folder)
                }
                opened => opened,
            }?;
        }
        Ok((folder, name))
    }
}

/// What to do about a folder of a path that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MissingFolders {
    Create,
    Fail,
}

/// Checks the form of a path. Opening it decides where it leads.
fn check(path: &str) -> io::Result<()> {
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..") && part.len() <= MAX_NAME_BYTES && !part.contains('\0')
    };
    match path.len() <= MAX_PATH_BYTES && path.split('/').all(is_part) {
        true => Ok(()),
        false => Err(io::Error::other("invalid path: expected one within the work directory")),
    }
}

pub(super) fn require_regular(file: &File) -> io::Result<()> {
    let about = rustix::fs::fstat(file)?;
    match FileType::from_raw_mode(about.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(io::Error::other("not a regular file")),
    }
}

fn stamp(file: &File) -> io::Result<FileStamp> {
    Ok(FileStamp::of(&statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn workspace(folder: &Path) -> Workspace {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = rustix::fs::open(folder, flags, Mode::empty()).expect("the folder is there");
        Workspace::new(open)
    }

    #[test]
    fn files_are_written_listed_read_in_parts_and_deleted() {
        let folder = tempfile::tempdir().expect("the temporary folder can be created");
        let mut files = workspace(folder.path());
        files.write("a/b/c.txt", b"0123456789", None).expect("it is within");
        files.write("a/b/c.txt", b"01234", None).expect("it is replaced");
        files.write("z", b"", None).expect("it is within");
        let (listed, is_cut) = files.list(10);
        let found: Vec<_> = listed.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        assert_eq!((found, is_cut), (vec![("a/b/c.txt", 5), ("z", 0)], false));
        assert!(files.list(1).1, "one is left out");
        let part = files.read_part("a/b/c.txt", 3, 10).expect("it is there");
        assert_eq!((&part.data[..], part.total_bytes), (&b"34"[..], 5));
        assert!(files.read_part("a/b/c.txt", 99, 10).expect("it is there").data.is_empty());
        let full = files.delete("a/b", None).expect_err("the folder is not empty");
        assert_eq!(full.raw_os_error(), Some(Errno::NOTEMPTY.raw_os_error()));
        files.delete("a/b/c.txt", None).expect("it is there");
        files.delete("a/b", None).expect("it is empty");
        let gone = files.read_part("a/b/c.txt", 0, 1).expect_err("it was deleted");
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_changed_file_has_another_version() {
        let folder = tempfile::tempdir().expect("the temporary folder can be created");
        let mut files = workspace(folder.path());
        let version = |files: &Workspace| files.read_part("f", 0, 1).expect("it is there").version;
        files.write("f", b"1", None).expect("it is within");
        let first = version(&files);
        assert_eq!(version(&files), first);
        files.write("f", b"22", None).expect("it is within");
        assert_ne!(version(&files), first);
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_work_directory() {
        let outside = tempfile::tempdir().expect("the temporary folder can be created");
        let inside = outside.path().join("work");
        std::fs::create_dir(&inside).expect("the folder is ours");
        std::fs::write(outside.path().join("secret"), "secret").expect("the folder is ours");
        symlink("../secret", inside.join("file")).expect("the folder is ours");
        symlink("..", inside.join("folder")).expect("the folder is ours");
        let mut files = workspace(&inside);
        for path in ["../secret", "/etc/passwd", "a//b", "./a", "a/..", "", "file", "folder/secret"]
        {
            files.read_part(path, 0, 10).expect_err("it was read");
            files.write(path, b"changed", None).expect_err("it was written");
        }
        files.delete("folder/secret", None).expect_err("it was deleted");
        assert!(files.list(10).0.is_empty(), "links are no files");
        files.delete("file", None).expect("the link itself is within");
        let secret = std::fs::read_to_string(outside.path().join("secret"));
        assert_eq!(secret.expect("it is still there"), "secret");
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().expect("the temporary folder can be created");
        let mut files = workspace(folder.path());
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("the folder is ours");
        files.read_part("pipe", 0, 1).expect_err("it was read");
        files.write("pipe", b"x", None).expect_err("it was written");
    }
}
