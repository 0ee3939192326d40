//! Resources that the warden allocates for a cell and releases after its end: user, folder and control group.

pub mod cgroup;
mod networks;
pub mod uid_claim;
pub mod uid_pool;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SIGKILL, kill};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use self::cgroup::{Cgroups, Group};
use self::networks::{Network, Networks};
use self::uid_pool::{CellUser, UidPool, as_user};
use crate::process::tree;

/// How long killed processes may take to end.
const DEAD_WITHIN: Duration = Duration::from_secs(5);
/// Polling interval for ending processes. There are no events about processes that are not the warden's
/// children.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Allocates the resources of cells.
#[derive(Debug, Clone)]
pub struct ResourceAllocator {
    pub uid_policy: UidPolicy,
    /// Parent of the cells' folders on a shared root. With a root of their own, cells have a disk in memory.
    pub folder: Option<PathBuf>,
    /// `None` on a shared root.
    pub networks: Option<Arc<Networks>>,
    /// `None` if the warden may not create groups.
    pub cgroups: Option<Arc<Cgroups>>,
}

/// The user that cells have outside.
#[derive(Debug, Clone)]
pub enum UidPolicy {
    /// The warden's own, unprivileged user.
    Warden,
    /// This user, which the zygote also has.
    Single(u32),
    /// A different user for each cell.
    PerCell(Arc<UidPool>),
}

/// The resources of one cell.
#[derive(Debug)]
pub struct CellResources {
    /// A user that no other cell has.
    user: Option<CellUser>,
    /// The owner of the cell's files, if it is not the warden's user.
    pub owner: Option<u32>,
    folder: Option<GroupFolder>,
    network: Option<Network>,
    group: Option<Arc<Group>>,
}

#[derive(Debug)]
struct GroupFolder {
    /// Removed on drop.
    path: tempfile::TempDir,
    open: OwnedFd,
}

impl ResourceAllocator {
    pub fn allocate(&self) -> io::Result<CellResources> {
        let (user, owner) = match &self.uid_policy {
            UidPolicy::Warden => (None, None),
            UidPolicy::Single(id) => (None, Some(*id)),
            UidPolicy::PerCell(users) => {
                let none = || io::Error::other("no free user for a cell");
                let user = users.take().ok_or_else(none)?;
                let id = user.id();
                (Some(user), Some(id))
            }
        };
        let folder = match (&self.folder, &user) {
            (Some(folder), Some(user)) => Some(GroupFolder::make(folder, user)?),
            _ => None,
        };
        let group =
            self.cgroups.as_ref().map(|cgroups| cgroups.take().map(Arc::new)).transpose()?;
        let network = self.networks.as_ref().map(Networks::take);
        Ok(CellResources { user, owner, folder, network, group })
    }
}

impl CellResources {
    /// The user that the cell has to switch to.
    pub fn user(&self) -> Option<u32> {
        self.user.as_ref().map(CellUser::id)
    }

    pub fn folder(&self) -> Option<BorrowedFd<'_>> {
        self.folder.as_ref().map(|folder| folder.open.as_fd())
    }

    /// The descriptor that the cell's builder needs: the folder, or a free network namespace.
    pub fn own_file(&self) -> Option<BorrowedFd<'_>> {
        self.folder().or_else(|| self.network.as_ref()?.namespace())
    }

    /// The cell with this first process is in its network namespace, and may have made it.
    pub fn record_network(
        &mut self,
        made: Option<OwnedFd>,
        init: BorrowedFd<'_>,
    ) -> io::Result<()> {
        self.network.as_mut().map_or(Ok(()), |network| network.record(made, init))
    }

    /// Adds a process to the cell's control group.
    pub fn add_process(&self, process: Option<i32>) -> io::Result<()> {
        match (&self.group, process) {
            (Some(group), Some(process)) => group.add_process(process),
            _ => Ok(()),
        }
    }

    pub fn group(&self) -> Option<Arc<Group>> {
        self.group.clone()
    }

    /// Kills all processes of the cell. With a root of its own, the death of its init does that.
    pub fn kill(&self) {
        if let (Some(user), Some(_)) = (&self.user, &self.folder) {
            kill_all_of(user.id());
        }
    }
}

impl GroupFolder {
    /// Creates the folder. Only the cell's user can enter it, and owns the two folders in it, but can
    /// rename neither.
    fn make(within: &Path, user: &CellUser) -> io::Result<GroupFolder> {
        let path = tempfile::Builder::new().prefix("cell-").tempdir_in(within)?;
        for name in jail::host_root::FOLDERS {
            std::fs::create_dir(path.path().join(name))?;
            chown(path.path().join(name), Some(user.id()), Some(user.id()))?;
        }
        std::fs::set_permissions(path.path(), std::fs::Permissions::from_mode(0o710))?;
        chown(path.path(), None, Some(user.id()))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::open(path.path(), flags, Mode::empty())?;
        Ok(GroupFolder { path, open })
    }
}

impl Drop for CellResources {
    /// Returns the user to the pool only after its processes and files are gone.
    fn drop(&mut self) {
        if let (Some(user), Some(folder)) = (self.user.take(), self.folder.take()) {
            // A thread of its own, because the runtime may be shutting down.
            std::thread::spawn(move || clear(user, folder));
        }
    }
}

fn clear(user: CellUser, folder: GroupFolder) {
    let until = Instant::now() + DEAD_WITHIN;
    kill_all_of(user.id());
    while reap_all_of(user.id()) > 0 {
        if Instant::now() > until {
            tracing::error!(user = user.id(), "killed processes still running");
            return std::mem::forget(user); // never reused
        }
        std::thread::sleep(LOOK_EVERY);
        kill_all_of(user.id());
    }
    remove_shared_memory_of(user.id());
    match folder.path.close() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(%error, "could not remove a cell's folder");
        }
        _ => {} // or the zygote's folder was removed with its contents
    }
}

/// Removes files that semaphores and shared memory leave in a folder that all cells share.
fn remove_shared_memory_of(id: u32) {
    let Ok(entries) = std::fs::read_dir(jail::host_root::SHARED_MEMORY) else { return };
    for entry in
        entries.flatten().filter(|entry| entry.metadata().is_ok_and(|about| about.uid() == id))
    {
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::error!(%error, user = id, "could not remove shared memory");
        }
    }
}

/// The kernel sends the signal to all processes of the user at once, so none can fork in between.
fn kill_all_of(id: u32) {
    let killed = as_user(id, || kill(nix::unistd::Pid::from_raw(-1), SIGKILL));
    if let Err(error) = killed {
        tracing::error!(%error, user = id, "could not kill a user's processes");
    }
}

/// Returns how many processes are left. Orphans of a cell become children of the warden, which is a
/// subreaper.
fn reap_all_of(id: u32) -> usize {
    let mut left = 0;
    for process in tree::of_user(std::process::id().cast_signed(), id) {
        left += 1;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        // A process that has not ended, or is not our child yet, is found again at the next poll.
        Pid::from_raw(process).map(|child| waitid(WaitId::Pid(child), options));
    }
    left
}
