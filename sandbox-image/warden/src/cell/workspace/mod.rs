//! A cell's work directory, accessed from outside by descriptor, never by path.
//!
//! The code can rename, link and replace files meanwhile. So links are not followed, mount points are not
//! crossed, and only regular files are opened.

mod access;

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use protocol::MAX_INPUT_FILES;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat2, statx,
};
use tokio::task::block_in_place;

/// Limits of one scan.
const MAX_DEPTH: usize = 8;
const MAX_ENTRIES: usize = 10_000;
const MAX_PATH_BYTES: usize = 2 << 20;
const MAX_TIME: Duration = Duration::from_secs(1);
/// Scans of more entries than this are long enough to delay other tasks, so they run as blocking work.
const FEW: usize = 200;
/// The first bytes of a file, enough to detect a picture.
const SNIFFED_BYTES: u64 = 64;

const STAY_INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_MAGICLINKS);

/// An open work directory, and its contents at the last scan.
#[derive(Debug)]
pub struct Workspace {
    folder: OwnedFd,
    seen: HashMap<CString, FileStamp>,
    /// Paths of the input files.
    put: BTreeSet<String>,
    /// Files that were new or changed at the last scan, oldest first.
    new: Vec<(CString, FileStamp)>,
}

/// Attributes that change when a file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileStamp {
    inode: u64,
    bytes: u64,
    changed: (i64, u32),
}

impl FileStamp {
    fn of(about: &Statx) -> FileStamp {
        let changed = (about.stx_mtime.tv_sec, about.stx_mtime.tv_nsec);
        FileStamp { inode: about.stx_ino, bytes: about.stx_size, changed }
    }
}

/// A picture that the code has written or shown.
#[derive(Debug)]
pub struct WrittenPicture {
    pub written: SystemTime,
    pub mime_type: &'static str,
    pub data: Vec<u8>,
}

/// A file that the code has written or changed.
#[derive(Debug)]
pub struct WrittenFile {
    pub path: String,
    pub data: Vec<u8>,
}

/// Pictures, and the number of those that exceeded a limit.
#[derive(Debug, Default)]
pub struct Pictures {
    pub found: Vec<WrittenPicture>,
    pub left_out: u32,
}

impl Workspace {
    pub fn new(folder: OwnedFd) -> Workspace {
        Workspace { folder, seen: HashMap::new(), put: BTreeSet::new(), new: Vec::new() }
    }

    /// Writes an input file. `owner` is its user, if that is not the warden's.
    pub fn put(&mut self, name: &str, content: &[u8], owner: Option<u32>) -> std::io::Result<()> {
        if name.is_empty()
            || name.len() > 255
            || name.starts_with('.')
            || name.contains(['/', '\0'])
        {
            return Err(std::io::Error::other(
                "invalid name of an input file: expected a plain name",
            ));
        }
        if self.put.len() == MAX_INPUT_FILES {
            let why = format!("more than {MAX_INPUT_FILES} input files");
            return Err(std::io::Error::other(why));
        }
        let write = || -> std::io::Result<FileStamp> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
            let file = openat2(&self.folder, name, flags, mode, STAY_INSIDE)?;
            let mut file = File::from(file);
            file.write_all(content)?;
            Ok(FileStamp::of(&statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?))
        };
        let stamp = match owner {
            None => write(),
            Some(owner) => as_user(owner, write),
        }?;
        self.put.insert(name.to_owned());
        self.seen.insert(CString::new(name)?, stamp); // not written by the code
        Ok(())
    }

    /// Counts a file as an input file, which a cell that replaces this one before its first run needs too.
    pub fn add_input(&mut self, path: &str) {
        self.put.insert(path.to_owned());
    }

    /// Copies the input files to another work directory. The code must not have run: it could have changed
    /// them.
    pub fn put_into(&self, other: &mut Workspace, owner: Option<u32>) -> std::io::Result<()> {
        block_in_place(|| {
            self.put.iter().try_for_each(|path| {
                let content = self.read(&CString::new(path.as_str())?, u64::MAX)?;
                other.write(path, &content, owner)?;
                other.add_input(path);
                Ok(())
            })
        })
    }

    /// Records the current contents, so that [`Self::new_pictures`] finds only later changes.
    pub fn remember(&mut self) {
        self.seen = self.look().0.into_iter().collect();
    }

    /// All regular files, and whether a limit has ended the scan.
    fn look(&self) -> (Vec<(CString, FileStamp)>, bool) {
        let look = |entries| {
            let mut walk = DirectoryScan::new(entries);
            walk.folder(self.folder.as_fd(), c"", 0);
            walk
        };
        let first = look(FEW);
        let whole = match first.entries <= FEW {
            true => first,
            false => block_in_place(|| look(MAX_ENTRIES)),
        };
        (whole.files, whole.is_cut)
    }

    /// Pictures that were written or changed since the last scan, oldest first.
    pub fn new_pictures(&mut self, most: usize, bytes: u64, together: u64) -> Pictures {
        let (files, _) = self.look();
        let is_new = |(path, stamp): &&(CString, FileStamp)| self.seen.get(path) != Some(stamp);
        self.new = files.iter().filter(is_new).cloned().collect();
        self.new.sort_by(|a, b| (a.1.changed, &a.0).cmp(&(b.1.changed, &b.0)));
        self.seen = files.into_iter().collect();
        match self.new.len() > FEW {
            true => block_in_place(|| self.read_pictures(most, bytes, together)),
            false => self.read_pictures(most, bytes, together),
        }
    }

    fn read_pictures(&self, most: usize, bytes: u64, together: u64) -> Pictures {
        let (mut pictures, mut room) = (Pictures::default(), together);
        for (path, stamp) in &self.new {
            let Some(mime_type) = self.picture_type(path) else { continue };
            if pictures.found.len() == most || stamp.bytes > bytes.min(room) {
                pictures.left_out += 1;
                continue;
            }
            if let Ok(data) = self.read(path, bytes.min(room)) {
                room -= data.len() as u64;
                let written = time(stamp.changed);
                pictures.found.push(WrittenPicture { written, mime_type, data });
            }
        }
        pictures
    }

    /// Files that were new or changed at the last scan, oldest first, and how many of them exceeded the limits
    /// on number and total bytes, or could not be read.
    pub fn new_files(&self, most: usize, bytes: u64) -> (Vec<WrittenFile>, u32) {
        block_in_place(|| self.read_files(most, bytes))
    }

    fn read_files(&self, most: usize, bytes: u64) -> (Vec<WrittenFile>, u32) {
        let (mut files, mut left_out, mut room) = (Vec::new(), 0, bytes);
        for (path, stamp) in &self.new {
            let data = (files.len() < most && stamp.bytes <= room)
                .then(|| self.read(path, stamp.bytes).ok())
                .flatten();
            match data {
                Some(data) => {
                    room -= data.len() as u64;
                    files.push(WrittenFile { path: path.to_string_lossy().into_owned(), data });
                }
                None => left_out += 1,
            }
        }
        (files, left_out)
    }

    fn picture_type(&self, path: &CStr) -> Option<&'static str> {
        picture_type(&self.read(path, SNIFFED_BYTES).ok()?)
    }

    /// Reads at most `most` bytes of a regular file.
    fn read(&self, path: &CStr, most: u64) -> std::io::Result<Vec<u8>> {
        let mut data = Vec::new();
        self.open_to_read(path)?.take(most).read_to_end(&mut data)?;
        Ok(data)
    }

    fn open_to_read(&self, path: &CStr) -> std::io::Result<File> {
        // Not blocking, because the file may have been replaced with a pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(openat2(&self.folder, path, flags, Mode::empty(), STAY_INSIDE)?);
        access::require_regular(&file)?;
        Ok(file)
    }
}

/// The type of a picture, from its first bytes and never from its name.
pub fn picture_type(start: &[u8]) -> Option<&'static str> {
    let kind = infer::get(start)?.mime_type();
    ["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff"]
        .into_iter()
        .find(|known| *known == kind)
}

/// One scan of the directory, with limits on everything.
struct DirectoryScan {
    files: Vec<(CString, FileStamp)>,
    path_bytes: usize,
    entries: usize,
    most: usize,
    until: Instant,
    /// Whether a limit has ended it, or left out a folder.
    is_cut: bool,
}

impl DirectoryScan {
    fn new(most: usize) -> DirectoryScan {
        let until = Instant::now() + MAX_TIME;
        DirectoryScan { files: Vec::new(), path_bytes: 0, entries: 0, most, until, is_cut: false }
    }

    fn folder(&mut self, folder: BorrowedFd<'_>, path: &CStr, depth: usize) {
        let Ok(entries) = Dir::read_from(folder) else { return };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.entries += 1;
            if self.entries > self.most
                || self.path_bytes > MAX_PATH_BYTES
                || Instant::now() > self.until
            {
                self.is_cut = true;
                return;
            }
            self.entry(folder, path, name, depth);
        }
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, path: &CStr, name: &CStr, depth: usize) {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let Ok(about) = statx(folder, name, flags, StatxFlags::BASIC_STATS) else { return };
        let path = join(path, name);
        self.path_bytes += path.as_bytes().len();
        match FileType::from_raw_mode(about.stx_mode.into()) {
            FileType::RegularFile => {
                self.files.push((path, FileStamp::of(&about)));
            }
            FileType::Directory if depth < MAX_DEPTH => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                if let Ok(below) = openat2(folder, name, flags, Mode::empty(), STAY_INSIDE) {
                    self.folder(below.as_fd(), &path, depth + 1);
                }
            }
            FileType::Directory => self.is_cut = true,
            _ => {}
        }
    }
}

fn join(folder: &CStr, name: &CStr) -> CString {
    let mut path = folder.to_bytes().to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.to_bytes());
    CString::new(path).expect("neither part has a NUL")
}

fn time((seconds, nanoseconds): (i64, u32)) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

/// Runs `act` with another user for file access, in a thread of its own. Only users that are mapped in the
/// cell's user namespace can write to its disk, so not even root can.
fn as_user<T: Send>(
    user: u32,
    act: impl FnOnce() -> std::io::Result<T> + Send,
) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                nix::unistd::setfsgid(nix::unistd::Gid::from_raw(user));
                nix::unistd::setfsuid(nix::unistd::Uid::from_raw(user));
                act()
            })
            .join()
            .unwrap_or_else(|_| {
                Err(std::io::Error::other("the thread that writes a file panicked"))
            })
    })
}
