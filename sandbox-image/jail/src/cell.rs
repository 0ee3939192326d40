//! A fork of the zygote gives up what it has left.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::unistd::Pid;

use crate::error::{Doing, JailError};
use crate::report::{LayerReport, Report};
use crate::seccomp::Filters;
use crate::spec::CellSpec;
use crate::sys::{self, Fork};
use crate::{init, landlock, mounts, namespaces, rlimits};

/// The descriptors of one cell. What is not in here is closed.
#[derive(Debug)]
pub struct Channels {
    /// Code comes in, one byte goes out at the end of each run.
    pub control: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// Pictures. The code can write to it as it likes, and nobody believes what it says.
    pub display: OwnedFd,
    /// For init and for this function, closed before any code runs: what is said here is believed.
    pub status: OwnedFd,
}

/// Everything that a standby does to itself. Returns in the process that will run the code, with
/// standard input, output and error at 0, 1 and 2, control at 3, display at 4, and nothing else open.
pub fn enter_cell(
    spec: &CellSpec,
    filters: &Filters,
    proc: OwnedFd,
    channels: Channels,
) -> Result<(), JailError> {
    sys::require_one_thread(proc.as_fd())?;
    // The zygote lets the kernel reap its children; init has to see how its own end.
    sys::default_sigchld()?;
    namespaces::all(proc.as_fd())?; // every capability from here on, over nothing but ourselves
    let workspace = mounts::scratch(spec)?;

    // Two processes: the first one in the new namespace is init, and only the second runs code, so
    // that signals, orphans and exits behave as everywhere.
    if let Fork::Parent { child: init } = sys::fork()? {
        announce(init, channels.status.as_fd())?;
        sys::exit_now(0); // the warden, as the nearest reaper, is init's parent from now on
    }
    if let Fork::Parent { child: code } = sys::fork()? {
        let status = keep_alone(channels.status)?;
        init::run(code, status);
    }

    rustix::process::setsid().doing("leaving", "the session")?;
    rlimits::set(proc.as_fd(), spec)?;
    drop_capabilities()?;
    rustix::thread::set_no_new_privs(true).doing("refusing", "new privileges")?; // for the two below
    let landlock = landlock::confine()?;
    filters.install()?; // last, for it forbids what every line above did

    let layers = vec![
        LayerReport::new("namespaces", true, "user, mount, pid, network, ipc, uts, cgroup"),
        LayerReport::new("root", true, "read-only, made only of Python and its libraries"),
        LayerReport::new("capabilities", true, "none left, none to be had"),
        landlock,
        LayerReport::new("seccomp", true, filters.summary()),
        LayerReport::new("rlimits", true, "memory, processes, files, core, stack"),
    ];
    sys::send(channels.status.as_fd(), &Report::Ready { layers }, Some(workspace.as_fd()))?;
    rlimits::limit_open_files(spec)?; // after the last descriptor has been sent

    let Channels { control, stdout, stderr, display, status } = channels;
    sys::forget([proc, workspace, status]); // closed with all the others
    sys::keep_only([sys::null()?, stdout, stderr, control, display])
}

/// Hands the warden what it needs to end the cell, whatever happens in it.
fn announce(init: Pid, status: BorrowedFd<'_>) -> Result<(), JailError> {
    let pid = rustix::process::Pid::from_raw(init.as_raw()).expect("a child's id is positive");
    let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
        .doing("opening", "init")?;
    sys::send(status, &Report::Born, Some(handle.as_fd()))
}

/// Init keeps one descriptor, at 0, and no other.
fn keep_alone(status: OwnedFd) -> Result<BorrowedFd<'static>, JailError> {
    sys::keep_only([status])?;
    Ok(sys::leak(sys::adopt(0)))
}

fn drop_capabilities() -> Result<(), JailError> {
    use caps::CapSet::{Ambient, Bounding, Effective, Inheritable, Permitted};
    // The bounding set first: taking from it needs a capability.
    for set in [Bounding, Ambient, Inheritable, Effective, Permitted] {
        caps::clear(None, set).doing("dropping", format!("{set:?} capabilities"))?;
    }
    Ok(())
}
