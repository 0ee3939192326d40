//! Users, mounts, processes, network, IPC and host name of one's own.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::write;

use crate::error::{Doing, JailError};

/// User and group of the code, as it sees itself. Nobody outside.
pub(crate) const INNER_ID: u32 = 1000;

/// A user namespace in which the caller, and nobody else, is [`INNER_ID`], and mounts of its own.
/// Gives the caller every capability, over what belongs to the new namespaces only.
///
/// `proc` is an open `/proc` of the namespace that the caller's process id counts in.
pub(crate) fn users_and_mounts(proc: BorrowedFd<'_>) -> Result<(), JailError> {
    enter(proc, CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
}

/// All that a cell gets of its own. The process namespace begins with the caller's next child.
pub(crate) fn all(proc: BorrowedFd<'_>) -> Result<(), JailError> {
    enter(
        proc,
        CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWCGROUP,
    )?;
    nix::unistd::sethostname("sandbox").doing("setting", "the host name")
}

fn enter(proc: BorrowedFd<'_>, flags: CloneFlags) -> Result<(), JailError> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(flags).doing("unsharing", format!("{flags:?}"))?;
    // Without a privilege outside, a group map is only accepted once setgroups() is off for good.
    tell(proc, "self/setgroups", "deny")?;
    tell(proc, "self/uid_map", &format!("{INNER_ID} {uid} 1"))?;
    tell(proc, "self/gid_map", &format!("{INNER_ID} {gid} 1"))
}

/// Writes to one of the kernel's small files about this process.
pub(crate) fn tell(proc: BorrowedFd<'_>, file: &str, text: &str) -> Result<(), JailError> {
    let open: OwnedFd = openat(proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .doing("opening", format!("/proc/{file}"))?;
    let written = write(&open, text.as_bytes()).doing("writing", format!("/proc/{file}"))?;
    debug_assert_eq!(written, text.len(), "the kernel takes these files whole or not at all");
    Ok(())
}
