//! A cell comes to be: a fork of the zygote that has given up what it had left.
//!
//! ```text
//! zygote ┄┄ borrowed memory ┄┄▶ builder ── vfork, exec ──▶ init   PID 1
//!                                  └────── fork ─────────▶ code   PID 2, the only copy of the zygote
//! ```
//!
//! The builder makes the namespaces and is gone; the warden, as the nearest reaper, is then the
//! parent of both others.

use std::ffi::CString;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::error::{Doing, JailError};
use crate::report::{Entered, Report};
use crate::seccomp::CellFilters;
use crate::spec::{CellSpec, Ground};
use crate::sys::{self, Fork};
use crate::{landlock, mounts, namespaces, rlimits, shared, users};

/// The descriptors of one cell. What is not in here is closed in it.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'a> {
    /// Code comes in, one byte goes out at the end of each run.
    pub control: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// Pictures. The code can write to it as it likes, and nobody believes what it says.
    pub display: BorrowedFd<'a>,
    /// For the builder and for init, closed before any code runs: what is said here is believed.
    pub status: BorrowedFd<'a>,
}

/// What one cell is given that no other has.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// Its user and group outside, where the warden may choose.
    pub user: Option<u32>,
    /// Where it may write, on a shared root.
    pub folder: Option<BorrowedFd<'a>>,
}

/// On which side of the fork the caller finds itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Zygote,
    /// With standard input, output and error at 0, 1 and 2, control at 3, display at 4, nothing
    /// else open, and nothing left to give up.
    Cell,
}

/// Forks a cell. What goes wrong in the new processes is said on `status`, and ends them.
pub fn fork_cell(
    spec: &CellSpec,
    filters: &CellFilters,
    proc: BorrowedFd<'_>,
    own: Own<'_>,
    channels: Channels<'_>,
) -> Result<Side, JailError> {
    sys::require_one_thread(proc)?;
    let side = sys::in_borrowed_memory(|| {
        let jailed = build(spec, proc, own, channels.status)
            .and_then(|workspace| confine(spec, filters, proc, own, workspace, channels));
        if let Err(error) = jailed {
            let report = Report::Broken { why: error.to_string() };
            // A warden that is gone needs no report.
            drop(sys::send(channels.status, &report, &[]));
            sys::exit_now(1);
        }
    })?;
    Ok(match side {
        Fork::Parent { .. } => Side::Zygote,
        Fork::Child => Side::Cell,
    })
}

/// Called in the builder, returns in the code's process: with the work directory, and with every
/// capability over the cell's own namespaces, which [`confine`] takes away.
fn build(
    spec: &CellSpec,
    proc: BorrowedFd<'_>,
    own: Own<'_>,
    status: BorrowedFd<'_>,
) -> Result<OwnedFd, JailError> {
    if let Some(user) = own.user {
        users::become_user(user)?;
    }
    let workspace = match (&spec.ground, own.folder) {
        (Ground::Own, _) => {
            namespaces::all(proc)?;
            mounts::scratch(spec)?
        }
        (Ground::Shared { .. }, Some(folder)) => shared::enter(folder)?,
        (Ground::Shared { .. }, None) => {
            return Err(JailError::new("entering", "the work directory", "none was given"));
        }
    };
    let init = start_init(&spec.ground, status)?; // the first in the new namespace, so PID 1
    if let Fork::Parent { child: code } = sys::fork()? {
        let handles = [handle(init)?, handle(code)?];
        sys::send(status, &Report::Born, &handles.each_ref().map(AsFd::as_fd))?;
        sys::exit_now(0); // its work is done
    }
    Ok(workspace)
}

fn start_init(ground: &Ground, status: BorrowedFd<'_>) -> Result<Pid, JailError> {
    let program = CString::new(ground.init().as_os_str().as_bytes()).doing("naming", "init")?;
    let side = sys::in_borrowed_memory(|| {
        if sys::keep_only([status]).is_ok() {
            drop(sys::become_program(&program));
        }
        sys::exit_now(127) // the namespace is dead then, and the next fork in it says so
    })?;
    match side {
        Fork::Parent { child } => Ok(child),
        Fork::Child => unreachable!("init does not fork before it is a program of its own"),
    }
}

/// What the warden needs to watch a process and to end it, whatever happens in it.
fn handle(process: Pid) -> Result<OwnedFd, JailError> {
    let pid = rustix::process::Pid::from_raw(process.as_raw()).expect("a child's id is positive");
    pidfd_open(pid, PidfdFlags::empty()).doing("opening", "a process of the cell")
}

/// Gives up everything, in the order in which it can be given up.
fn confine(
    spec: &CellSpec,
    filters: &CellFilters,
    proc: BorrowedFd<'_>,
    own: Own<'_>,
    workspace: OwnedFd,
    channels: Channels<'_>,
) -> Result<(), JailError> {
    rustix::process::setsid().doing("leaving", "the session")?;
    let null = sys::null()?;
    rlimits::set(proc, spec)?;
    if spec.ground == Ground::Own {
        drop_capabilities()?; // on a shared root they have gone with the user
    }
    rustix::thread::set_no_new_privs(true).doing("refusing", "new privileges")?; // for the two below
    let landlock = landlock::confine(&spec.ground, own.folder)?;
    filters.install()?; // last, for it forbids what every line above did

    let entered = Entered { landlock, seccomp: filters.summary() };
    sys::send(channels.status, &Report::Ready { entered }, &[workspace.as_fd()])?;
    rlimits::limit_open_files(spec)?; // after the last descriptor has been sent

    let Channels { control, stdout, stderr, display, .. } = channels;
    sys::keep_only([null.as_fd(), stdout, stderr, control, display])?;
    mem::forget((null, workspace)); // closed with all the others
    Ok(())
}

fn drop_capabilities() -> Result<(), JailError> {
    use caps::CapSet::{Ambient, Bounding, Effective, Inheritable, Permitted};
    // The bounding set first: taking from it needs a capability.
    for set in [Bounding, Ambient, Inheritable, Effective, Permitted] {
        caps::clear(None, set).doing("dropping", format!("{set:?} capabilities"))?;
    }
    Ok(())
}
