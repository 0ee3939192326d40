//! Network namespaces that later cells use again.
//!
//! Creating and removing one takes most of a millisecond of the kernel's time, more than all other namespaces
//! together. They belong to a user namespace of the zygote's, which a cell's builder enters first. So a cell has
//! no capability over its network namespace, not even before it gives up the others.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Context, JailError};
use crate::namespaces::write_proc;
use crate::sys::{self, Fork};

/// Creates the user namespace, with the caller's users. `proc` is an open `/proc`. The result stays open in
/// programs that the caller executes.
pub(crate) fn create_owner(proc: BorrowedFd<'_>) -> Result<OwnedFd, JailError> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).doing("creating", "a pipe");
    let ((made, tell), (hold, release)) = (pipe()?, pipe()?);
    match sys::fork()? {
        Fork::Child => {
            drop((made, release));
            if unshare(CloneFlags::CLONE_NEWUSER).is_ok() {
                write(&tell, &[1]).ok();
                read(&hold, &mut [0]).ok(); // until the parent has closed its end, or has ended
            }
            sys::exit_now(0);
        }
        Fork::Parent { child } => {
            drop((tell, hold));
            let owner = match read(&made, &mut [0]) {
                Ok(1) => open_owner(proc, child),
                _ => Err(JailError::new("unsharing", "users", "it is not permitted")),
            };
            drop(release);
            waitpid(child, None).doing("waiting for", "a process in a new namespace")?;
            owner
        }
    }
}

fn open_owner(proc: BorrowedFd<'_>, child: Pid) -> Result<OwnedFd, JailError> {
    let owner = openat(proc, format!("{child}/ns/user"), OFlags::RDONLY, Mode::empty())
        .doing("opening", "a user namespace")?;
    for map in ["uid_map", "gid_map"] {
        let ours = sys::read_file(proc, &format!("self/{map}"))?;
        write_proc(proc, &format!("{child}/{map}"), &identity(&ours))?;
    }
    Ok(owner)
}

/// A map of all users in this map to themselves.
fn identity(map: &str) -> String {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace();
        let (inside, count) = (numbers.next()?, numbers.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    };
    map.lines().filter_map(line).collect()
}

/// Whether a process with the caller's rights can create network namespaces with this owner.
pub(crate) fn is_usable(owner: &OwnedFd) -> bool {
    match sys::fork() {
        Ok(Fork::Child) => {
            let entered = setns(owner, CloneFlags::CLONE_NEWUSER)
                .and_then(|()| unshare(CloneFlags::CLONE_NEWNET));
            sys::exit_now(i32::from(entered.is_err()));
        }
        Ok(Fork::Parent { child }) => {
            matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0)))
        }
        Err(_) => false,
    }
}

/// Enters a free network namespace, or a new one, which is returned. The caller must have the owner's user, and
/// has every capability in the owner afterwards.
///
/// Sockets can outlive their last process for a moment: the kernel collects those that were sent to each other
/// later. So a namespace that has any is not used.
pub(crate) fn enter(
    owner: BorrowedFd<'_>,
    free: Option<BorrowedFd<'_>>,
    proc: BorrowedFd<'_>,
) -> Result<Option<OwnedFd>, JailError> {
    setns(owner, CloneFlags::CLONE_NEWUSER).doing("entering", "the networks' user namespace")?;
    if let Some(free) = free {
        setns(free, CloneFlags::CLONE_NEWNET).doing("entering", "a network namespace")?;
        if sys::read_file(proc, "self/net/sockstat").is_ok_and(|text| has_no_sockets(&text)) {
            return Ok(None);
        }
    }
    unshare(CloneFlags::CLONE_NEWNET).doing("unsharing", "the network")?;
    openat(proc, "self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .doing("opening", "a network namespace")
        .map(Some)
}

/// `sockets: used 0`, the first line. The kernel's own sockets do not count.
fn has_no_sockets(sockstat: &str) -> bool {
    sockstat.lines().next() == Some("sockets: used 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_sockets_is_recognised() {
        let rest = "TCP: inuse 0 orphan 0 tw 0 alloc 1 mem 0\n";
        assert!(has_no_sockets(&format!("sockets: used 0\n{rest}")));
        for first in ["sockets: used 1\n", "sockets: used 10\n", ""] {
            assert!(!has_no_sockets(&format!("{first}{rest}")), "{first}");
        }
    }

    #[test]
    fn all_users_are_mapped_to_themselves() {
        let container = "         0     100000      65536\n      70000      1000          1\n";
        assert_eq!(identity(container), "0 0 65536\n70000 70000 1\n");
    }
}
