//! Private namespaces: user, mount, process, network, IPC and host name.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::write;

use crate::error::{Context, JailError};

/// User and group of the code inside the cell. Unprivileged outside.
pub(crate) const INNER_ID: u32 = 1000;

/// A user namespace that maps only the caller, as [`INNER_ID`], and a mount namespace. The caller gets
/// every capability, over objects of the new namespaces only.
///
/// `proc` is an open `/proc` of the PID namespace that contains the caller.
pub(crate) fn users_and_mounts(proc: BorrowedFd<'_>) -> Result<(), JailError> {
    enter(proc, CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
}

/// All namespaces of a cell, that of the network if the caller has not entered one already. The PID namespace
/// begins with the caller's next child.
pub(crate) fn all(proc: BorrowedFd<'_>, has_network: bool) -> Result<(), JailError> {
    let mut flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    flags.set(CloneFlags::CLONE_NEWNET, !has_network);
    enter(proc, flags)?;
    nix::unistd::sethostname("sandbox").doing("setting", "the host name")
}

fn enter(proc: BorrowedFd<'_>, flags: CloneFlags) -> Result<(), JailError> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    unshare(flags).doing("unsharing", format!("{flags:?}"))?;
    // An unprivileged process may write a group map only after it has disabled setgroups() for good.
    write_proc(proc, "self/setgroups", "deny")?;
    write_proc(proc, "self/uid_map", &format!("{INNER_ID} {uid} 1"))?;
    write_proc(proc, "self/gid_map", &format!("{INNER_ID} {gid} 1"))
}

/// Writes one of the caller's own files in `/proc`.
pub(crate) fn write_proc(proc: BorrowedFd<'_>, file: &str, text: &str) -> Result<(), JailError> {
    let open: OwnedFd = openat(proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .doing("opening", format!("/proc/{file}"))?;
    let written = write(&open, text.as_bytes()).doing("writing", format!("/proc/{file}"))?;
    debug_assert_eq!(written, text.len(), "the kernel takes these files whole or not at all");
    Ok(())
}
