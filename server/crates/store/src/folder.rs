//! The data folder: its permissions, and whether it is complete.
//!
//! Modes are set file by file. The warden and the commands that the server starts would inherit a umask,
//! and the code in a cell would see its effect.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

pub const DATABASE: &str = "belljar.sqlite";
pub const LOG: &str = "belljar.sqlite-wal";
pub const BLOBS: &str = "blobs";
pub const UPLOADS: &str = "uploads";

/// All files and folders that the store creates in its folder.
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

/// Permission bits of other users.
const OTHERS: u32 = 0o077;

/// Removes the permissions of other users from the folder and its content.
pub fn restrict(folder: &Path) -> io::Result<()> {
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
        // A folder that also contains other files may be shared on purpose.
        if is_shared || tighten(folder).is_err() {
            tracing::warn!(folder = %folder.display(), "data folder readable by other users");
        }
    }
    Ok(())
}

/// Creates a folder and its parents, accessible only to this user.
pub fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

pub fn has_blobs(folder: &Path) -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    // Folders remain when their last blob is removed.
    entries(&folder.join(BLOBS)).any(|prefix| entries(&prefix.path()).next().is_some())
}

/// Whether the database is missing or an empty file.
pub fn lacks_database(folder: &Path) -> bool {
    std::fs::metadata(folder.join(DATABASE)).map_or(true, |database| database.len() == 0)
}

fn is_open(path: &Path) -> io::Result<bool> {
    Ok(std::fs::symlink_metadata(path)?.permissions().mode() & OTHERS != 0)
}

/// Removes the permissions of other users from a file, if it exists.
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
