//! The data folder: who may read what is in it, and whether all of it is there.
//!
//! Modes are set file by file. A umask would be inherited by the warden and by commands that the server
//! starts, where it changes what code sees.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

pub const DATABASE: &str = "belljar.sqlite";
pub const LOG: &str = "belljar.sqlite-wal";
pub const BLOBS: &str = "blobs";
pub const UPLOADS: &str = "uploads";

/// All that the store has in its folder.
const OURS: [&str; 9] = [
    DATABASE,
    LOG,
    "belljar.sqlite-shm",
    "belljar.sqlite-journal",
    BLOBS,
    UPLOADS,
    "lock",
    super::reserve::FILE,
    super::clock::FILE,
];

/// Bits of a mode that let other users in.
const OTHERS: u32 = 0o077;

/// Makes the folder and what is in it readable by nobody but the user of this process.
pub fn close(folder: &Path) -> io::Result<()> {
    make(folder)?;
    for name in [BLOBS, UPLOADS] {
        make(&folder.join(name))?;
    }
    // SQLite gives its other files the mode of this one.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(folder.join(DATABASE))
        .map(drop)?;
    for name in OURS {
        tighten(&folder.join(name))?;
    }
    if is_open(folder)? {
        let is_shared = std::fs::read_dir(folder)?
            .filter_map(Result::ok)
            .any(|entry| !OURS.iter().any(|ours| entry.file_name() == *ours));
        // Where other things lie in it, it is not ours to close.
        if is_shared || tighten(folder).is_err() {
            tracing::warn!(folder = %folder.display(), "other users can list the data folder");
        }
    }
    Ok(())
}

/// A folder, and those above it, for this user alone.
pub fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether there are blobs.
pub fn has_blobs(folder: &Path) -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    // Folders stay when their last blob is removed.
    entries(&folder.join(BLOBS)).any(|prefix| entries(&prefix.path()).next().is_some())
}

/// Whether there is no database, or an empty file in its place.
pub fn lacks_database(folder: &Path) -> bool {
    std::fs::metadata(folder.join(DATABASE)).map_or(true, |database| database.len() == 0)
}

fn is_open(path: &Path) -> io::Result<bool> {
    Ok(std::fs::symlink_metadata(path)?.permissions().mode() & OTHERS != 0)
}

/// Takes the rights of other users away from what is there.
fn tighten(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let mode = found.permissions().mode();
    if found.is_symlink() || mode & OTHERS == 0 {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS & 0o7777))
}
