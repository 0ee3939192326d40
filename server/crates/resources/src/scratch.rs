//! Temporary folders that live as long as the server that created them. A server removes the
//! folders of killed servers: those whose lock is free.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::geteuid;

const PREFIX: &str = "belljar-";
/// Locked while the folder's server lives.
const ALIVE: &str = ".alive";

/// A temporary folder, removed on drop.
#[derive(Debug)]
pub struct Scratch {
    folder: tempfile::TempDir,
    _alive: File,
}

impl Scratch {
    /// Creates a folder with this mode, and removes those of killed servers.
    pub fn new(mode: u32) -> io::Result<Scratch> {
        sweep(&std::env::temp_dir());
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(mode))
            .tempdir()?;
        // The file is locked before it gets its name, so no process finds it unlocked.
        let alive = tempfile::NamedTempFile::new_in(folder.path())?;
        alive.as_file().lock()?;
        let alive = alive.persist(folder.path().join(ALIVE))?;
        Ok(Scratch { folder, _alive: alive })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_named_so = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if is_named_so && is_left(&entry.path()) {
            match std::fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!("killed server's temporary folder removed"),
                Err(error) => tracing::warn!(%error, "could not remove a temporary folder"),
            }
        }
    }
}

/// Whether it is a folder of this user whose server is dead. Other users can write to the temporary
/// folder, so links are not followed.
fn is_left(folder: &Path) -> bool {
    let is_ours = std::fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
    if !is_ours {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let alive = open(folder.join(ALIVE), flags, Mode::empty()).map(File::from);
    alive.is_ok_and(|alive| alive.try_lock().is_ok())
}
