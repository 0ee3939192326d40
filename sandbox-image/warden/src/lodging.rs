//! What a cell is given by the warden, and what is taken back when it is dead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SIGKILL, kill};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::cgroup::{Cgroups, Group};
use crate::tree;
use crate::users::{User, Users, as_user};

/// How long the kernel may take to end what was killed.
const DEAD_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at what is dying. Nobody sends events about processes one is not the parent of.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Where lodgings come from.
#[derive(Debug, Clone)]
pub struct Lodgings {
    pub tenants: Tenants,
    /// Where cells write to on a shared root; on a root of their own they have a disk in memory.
    pub folder: Option<PathBuf>,
    /// Absent where the warden may make no groups.
    pub cgroups: Option<Arc<Cgroups>>,
}

/// Who cells are outside.
#[derive(Debug, Clone)]
pub enum Tenants {
    /// The warden's own user, which is nobody of importance.
    Ourselves,
    /// This one, which the zygote has become.
    One(u32),
    /// Each another.
    Each(Arc<Users>),
}

/// One cell's.
#[derive(Debug)]
pub struct Lodging {
    /// Nobody else's.
    user: Option<User>,
    /// The user that the cell's files belong to, where that is not ourselves.
    pub owner: Option<u32>,
    folder: Option<Folder>,
    group: Option<Arc<Group>>,
}

#[derive(Debug)]
struct Folder {
    /// Held until it is dropped.
    path: tempfile::TempDir,
    open: OwnedFd,
}

impl Lodgings {
    pub fn next(&self) -> io::Result<Lodging> {
        let (user, owner) = match &self.tenants {
            Tenants::Ourselves => (None, None),
            Tenants::One(id) => (None, Some(*id)),
            Tenants::Each(users) => {
                let none = || io::Error::other("all users for cells are taken");
                let user = users.take().ok_or_else(none)?;
                let id = user.id();
                (Some(user), Some(id))
            }
        };
        let folder = match (&self.folder, &user) {
            (Some(folder), Some(user)) => Some(Folder::make(folder, user)?),
            _ => None,
        };
        let group =
            self.cgroups.as_ref().map(|cgroups| cgroups.take().map(Arc::new)).transpose()?;
        Ok(Lodging { user, owner, folder, group })
    }
}

impl Lodging {
    /// Whom the cell has to become.
    pub fn user(&self) -> Option<u32> {
        self.user.as_ref().map(User::id)
    }

    pub fn folder(&self) -> Option<BorrowedFd<'_>> {
        self.folder.as_ref().map(|folder| folder.open.as_fd())
    }

    /// Puts a process under the limits of the cell as a whole.
    pub fn admit(&self, process: Option<i32>) -> io::Result<()> {
        match (&self.group, process) {
            (Some(group), Some(process)) => group.admit(process),
            _ => Ok(()),
        }
    }

    pub fn group(&self) -> Option<Arc<Group>> {
        self.group.clone()
    }

    /// Kills everything of the cell's. On a root of its own the death of its init does that.
    pub fn kill(&self) {
        if let (Some(user), Some(_)) = (&self.user, &self.folder) {
            kill_all_of(user.id());
        }
    }
}

impl Folder {
    /// A way for the user alone, and its own are the two at the end of it: it can move neither of
    /// them away.
    fn make(within: &Path, user: &User) -> io::Result<Folder> {
        let path = tempfile::Builder::new().prefix("cell-").tempdir_in(within)?;
        for name in jail::shared::FOLDERS {
            std::fs::create_dir(path.path().join(name))?;
            chown(path.path().join(name), Some(user.id()), Some(user.id()))?;
        }
        std::fs::set_permissions(path.path(), std::fs::Permissions::from_mode(0o710))?;
        chown(path.path(), None, Some(user.id()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::open(path.path(), flags, Mode::empty())?;
        Ok(Folder { path, open })
    }
}

impl Drop for Lodging {
    /// A user is not given back before it has nothing any more.
    fn drop(&mut self) {
        if let (Some(user), Some(folder)) = (self.user.take(), self.folder.take()) {
            // Outlives the runtime where that is at its end: a thread of its own.
            std::thread::spawn(move || clear(user, folder));
        }
    }
}

fn clear(user: User, folder: Folder) {
    let until = Instant::now() + DEAD_WITHIN;
    kill_all_of(user.id());
    while reap_all_of(user.id()) > 0 {
        if Instant::now() > until {
            tracing::error!(user = user.id(), "processes were killed and are not dead yet");
            return std::mem::forget(user); // nobody else gets it
        }
        std::thread::sleep(LOOK_EVERY);
        kill_all_of(user.id());
    }
    remove_shared_memory_of(user.id());
    match folder.path.close() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(%error, "the folder of a cell could not be removed");
        }
        _ => {} // or the zygote's folder is gone, and all that was in it
    }
}

/// A semaphore is a file in a folder that all cells share.
fn remove_shared_memory_of(id: u32) {
    let Ok(entries) = std::fs::read_dir(jail::shared::SHARED_MEMORY) else { return };
    for entry in
        entries.flatten().filter(|entry| entry.metadata().is_ok_and(|about| about.uid() == id))
    {
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::error!(%error, user = id, "shared memory could not be removed");
        }
    }
}

/// The kernel sends the signal to all of them at once, so that none can fork in between.
fn kill_all_of(id: u32) {
    let killed = as_user(id, || kill(nix::unistd::Pid::from_raw(-1), SIGKILL));
    if let Err(error) = killed {
        tracing::error!(%error, user = id, "the processes of a user cannot be killed");
    }
}

/// How many there still are. What a cell leaves without a parent comes to the warden, which is the
/// reaper of all below it.
fn reap_all_of(id: u32) -> usize {
    let mut left = 0;
    for process in tree::of_user(std::process::id().cast_signed(), id) {
        left += 1;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // One that is not dead yet, or not our child yet, is there at the next look.
        Pid::from_raw(process).map(|child| waitid(WaitId::Pid(child), options));
    }
    left
}
