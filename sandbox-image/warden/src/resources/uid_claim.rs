//! A warden's claim on the users of its cells: a locked file in shared memory, named after the first user. The
//! kernel releases the lock when the warden dies for any reason. So the next warden can distinguish files that a
//! killed warden has left from files of a running one.
//!
//! Only cells on a shared root have files there.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use crate::resources::uid_pool::COUNT;

const PREFIX: &str = "belljar-users-";
/// Another warden may remove the file between opening and locking it.
const ATTEMPTS: usize = 5;

/// Held while this warden runs.
#[derive(Debug)]
pub struct UidClaim {
    path: PathBuf,
    _locked: File,
}

impl UidClaim {
    /// Claims the users from `first` on. `None` if a running warden has claimed them, or if no file can be
    /// created: then no cell can create one either.
    pub fn of(folder: &Path, first: u32) -> Option<UidClaim> {
        let path = folder.join(format!("{PREFIX}{first}"));
        for _ in 0..ATTEMPTS {
            match locked(&path, OFlags::CREATE) {
                Ok(Some(file)) => return Some(UidClaim { path, _locked: file }),
                Ok(None) => {}
                Err(Errno::WOULDBLOCK) => {
                    tracing::warn!(first, "another warden has these users");
                    return None;
                }
                Err(_) => return None,
            }
        }
        None
    }

    fn own(&self) -> Option<u32> {
        first(self.path.file_name()?.to_str()?)
    }

    /// Removes files of the claimed users, and of users whose warden has ended.
    pub fn sweep(&self, folder: &Path) -> io::Result<()> {
        let mut users: HashSet<u32> = self.own().into_iter().collect();
        let mut dead = Vec::new();
        for entry in fs::read_dir(folder)?.flatten() {
            let Some(of) = entry.file_name().to_str().and_then(first) else { continue };
            if let Ok(Some(file)) = locked(&entry.path(), OFlags::empty()) {
                users.insert(of);
                dead.push((entry.path(), file));
            }
        }
        remove_files_of(&users, folder)?;
        for (path, _locked) in dead {
            fs::remove_file(path).ok(); // a later warden tries again
        }
        Ok(())
    }
}

impl Drop for UidClaim {
    /// If files of cells remain, some cells may still be ending. The claim's file stays then, and the next warden
    /// cleans up.
    fn drop(&mut self) {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let own = self.own().into_iter().collect();
        if remove_files_of(&own, folder).is_ok_and(|found| found == 0) {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// Removes files of the ranges that begin with these users, and returns how many there were.
fn remove_files_of(users: &HashSet<u32>, folder: &Path) -> io::Result<usize> {
    let warden = rustix::process::geteuid().as_raw();
    let is_of = |user: u32| {
        let is_in = |first: &u32| (*first..first.saturating_add(COUNT)).contains(&user);
        user != warden && users.iter().any(is_in)
    };
    let mut found = 0;
    for entry in fs::read_dir(folder)?.flatten() {
        // The metadata of a symbolic link are those of the link itself.
        if entry.metadata().is_ok_and(|about| is_of(about.uid())) {
            found += 1;
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "could not remove shared memory");
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// The number in `belljar-users-1900000000`.
fn first(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Opens and locks a file of this user. `None` if it was removed meanwhile, or belonged to another user: a cell can
/// create a file with any name, and such a file is removed.
fn locked(path: &Path, create: OFlags) -> Result<Option<File>, Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let opened = match openat(CWD, path, flags, mode) {
        Err(Errno::NOENT) if create == OFlags::CREATE => {
            openat(CWD, path, flags | create | OFlags::EXCL, mode)
        }
        opened => opened,
    };
    let file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::EXIST) => return Ok(None),
        Err(Errno::LOOP | Errno::ACCESS | Errno::ISDIR | Errno::NXIO) => {
            return remove_foreign(path).map(|()| None);
        }
        Err(error) => return Err(error),
    };
    let about = rustix::fs::fstat(&file)?;
    if about.st_uid != rustix::process::geteuid().as_raw() {
        return remove_foreign(path).map(|()| None);
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    // Removing the file requires the lock, so from here on it stays.
    let is_there = rustix::fs::fstat(&file)?.st_nlink > 0;
    Ok(is_there.then_some(file))
}

fn remove_foreign(path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlink(path) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("it is ours").flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_of_dead_wardens_are_removed_and_those_of_running_ones_stay() {
        if !rustix::process::geteuid().is_root() {
            return; // only root gives files away, and only root has users for cells
        }
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let at = folder.path();
        let file = |name: &str, user| {
            fs::write(at.join(name), "x").expect("it is ours");
            chown(at.join(name), Some(user), Some(user)).expect("this is root");
        };
        let running = UidClaim::of(at, 500_000).expect("it is free");
        assert!(UidClaim::of(at, 500_000).is_none(), "it is taken");
        // A killed one unlocks its file and removes nothing.
        fs::write(at.join("belljar-users-600000"), "").expect("it is ours");
        fs::write(at.join("belljar-users-700000"), "").expect("it is ours");
        let own = UidClaim::of(at, 700_000).expect("it is not locked");
        for (name, user) in [
            ("own", 700_000),
            ("last-of-own", 700_000 + COUNT - 1),
            ("dead", 600_007),
            ("running", 500_007),
            ("unknown", 800_000),
            ("belljar-users-900000", 500_001), // created by a cell, and not a claim
        ] {
            file(name, user);
        }
        symlink("unknown", at.join("link")).expect("it is ours");
        own.sweep(at).expect("it can be read");
        let left = ["belljar-users-500000", "belljar-users-700000", "link", "running", "unknown"];
        assert_eq!(names(at), left);
        file("belljar-users-900000", 500_001);
        drop(UidClaim::of(at, 900_000).expect("a file of a cell does not prevent it"));
        drop(own);
        drop(running);
        assert_eq!(names(at), ["belljar-users-500000", "link", "unknown"], "it had a file");
        drop(UidClaim::of(at, 500_000).expect("it is free again"));
        assert_eq!(names(at), ["link", "unknown"]);
    }
}
