//! Creates a cell: a fork of the zygote that gives up its remaining privileges.
//!
//! ```text
//! zygote ┄┄ borrowed memory ┄┄▶ builder ── vfork, exec ──▶ init   PID 1
//!                                  └────── fork ─────────▶ code   PID 2, the only copy of the zygote
//! ```
//!
//! The builder creates the namespaces and exits; the warden, as the nearest subreaper, then becomes
//! the parent of the other two.

use std::ffi::CString;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::error::{Context, JailError};
use crate::report::{Entered, Report};
use crate::root::{host_root, mounts};
use crate::spec::{CellSpec, RootFs};
use crate::sys::{self, Fork};
use crate::syscalls::seccomp::CellFilters;
use crate::{landlock, namespaces, networks, rlimits, users};

/// The descriptors of one cell. All others are closed.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'a> {
    /// Receives code; sends one byte at the end of each run.
    pub control: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// Carries images. The code can write to it, so its content is untrusted.
    pub display: BorrowedFd<'a>,
    /// For the builder and init. Closed before any code runs, so its content is trusted.
    pub status: BorrowedFd<'a>,
}

/// Resources that belong to one cell only.
#[derive(Debug, Clone, Copy)]
pub struct CellIdentity<'a> {
    /// User and group outside the cell, where the warden can assign one.
    pub user: Option<u32>,
    /// Writable folder, on a shared root.
    pub folder: Option<BorrowedFd<'a>>,
    /// Free network namespace, on a private root. Without one, the cell makes its own.
    pub network: Option<BorrowedFd<'a>>,
}

/// What a zygote keeps open for its cells.
#[derive(Debug, Clone, Copy)]
pub struct ZygoteFiles<'a> {
    /// An open `/proc`.
    pub proc: BorrowedFd<'a>,
    /// The user namespace that owns network namespaces, if there is one.
    pub network_owner: Option<BorrowedFd<'a>>,
}

/// Which side of the fork the caller is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Zygote,
    /// Standard input, output and error are at 0, 1 and 2, control at 3, display at 4; no other
    /// descriptor is open and no privilege is left.
    Cell,
}

/// Forks a cell. An error in the new processes is reported on `status` and ends them.
pub fn fork_cell(
    spec: &CellSpec,
    filters: &CellFilters,
    zygote: ZygoteFiles<'_>,
    identity: CellIdentity<'_>,
    channels: Channels<'_>,
) -> Result<Side, JailError> {
    let proc = zygote.proc;
    sys::require_one_thread(proc)?;
    let side = sys::in_borrowed_memory(|| {
        let jailed = build(spec, zygote, identity, channels.status)
            .and_then(|workspace| confine(spec, filters, proc, identity, workspace, channels));
        if let Err(error) = jailed {
            let report = Report::Broken { why: error.to_string() };
            // If the warden has exited, there is no reader for the report.
            drop(sys::send(channels.status, &report, &[]));
            sys::exit_now(1);
        }
    })?;
    Ok(match side {
        Fork::Parent { .. } => Side::Zygote,
        Fork::Child => Side::Cell,
    })
}

/// Runs in the builder and returns in the code's process, with the work directory and with every
/// capability over the cell's own namespaces, which [`confine`] drops.
fn build(
    spec: &CellSpec,
    zygote: ZygoteFiles<'_>,
    identity: CellIdentity<'_>,
    status: BorrowedFd<'_>,
) -> Result<OwnedFd, JailError> {
    let ZygoteFiles { proc, network_owner } = zygote;
    let made = match network_owner {
        Some(owner) => networks::enter(owner, identity.network, proc)?,
        None => None,
    };
    if let Some(user) = identity.user {
        users::become_user(user)?;
    }
    let workspace = match (&spec.root_fs, identity.folder) {
        (RootFs::Private, _) => {
            namespaces::all(proc, network_owner.is_some())?;
            mounts::scratch(spec)?
        }
        (RootFs::Host { .. }, Some(folder)) => host_root::enter(folder)?,
        (RootFs::Host { .. }, None) => {
            return Err(JailError::new("entering", "the work directory", "none was given"));
        }
    };
    let init = start_init(&spec.root_fs, status)?; // first process of the new namespace, so PID 1
    if let Fork::Parent { child: code } = sys::fork()? {
        let handles = [handle(init)?, handle(code)?];
        let files: Vec<_> = handles.iter().chain(&made).map(AsFd::as_fd).collect();
        sys::send(status, &Report::Born, &files)?;
        sys::exit_now(0); // the builder has finished
    }
    Ok(workspace)
}

fn start_init(root_fs: &RootFs, status: BorrowedFd<'_>) -> Result<Pid, JailError> {
    let program = CString::new(root_fs.init().as_os_str().as_bytes()).doing("naming", "init")?;
    let side = sys::in_borrowed_memory(|| {
        if sys::keep_only([status]).is_ok() {
            drop(sys::become_program(&program));
        }
        sys::exit_now(127) // ends the namespace, so the next fork in it fails
    })?;
    match side {
        Fork::Parent { child } => Ok(child),
        Fork::Child => unreachable!("init does not fork before it is a program of its own"),
    }
}

/// A pidfd, with which the warden watches and kills a process.
fn handle(process: Pid) -> Result<OwnedFd, JailError> {
    let pid = rustix::process::Pid::from_raw(process.as_raw()).expect("a child's id is positive");
    pidfd_open(pid, PidfdFlags::empty()).doing("opening", "a process of the cell")
}

/// Gives up every privilege, in an order in which each step is still permitted.
fn confine(
    spec: &CellSpec,
    filters: &CellFilters,
    proc: BorrowedFd<'_>,
    identity: CellIdentity<'_>,
    workspace: OwnedFd,
    channels: Channels<'_>,
) -> Result<(), JailError> {
    rustix::process::setsid().doing("leaving", "the session")?;
    let null = sys::null()?;
    rlimits::set(proc, spec)?;
    if spec.root_fs == RootFs::Private {
        drop_capabilities()?; // on a shared root the change of user dropped them
    }
    rustix::thread::set_no_new_privs(true).doing("refusing", "new privileges")?; // required by the next two steps
    let landlock = landlock::confine(&spec.root_fs, identity.folder)?;
    filters.install()?; // last: it forbids the calls of every line above

    let entered = Entered { landlock, seccomp: filters.summary() };
    sys::send(channels.status, &Report::Ready { entered }, &[workspace.as_fd()])?;
    rlimits::limit_open_files(spec)?; // after the last descriptor is sent

    let Channels { control, stdout, stderr, display, .. } = channels;
    sys::keep_only([null.as_fd(), stdout, stderr, control, display])?;
    mem::forget((null, workspace)); // `keep_only` has closed them
    Ok(())
}

fn drop_capabilities() -> Result<(), JailError> {
    use caps::CapSet::{Ambient, Bounding, Effective, Inheritable, Permitted};
    // The bounding set first: dropping from it requires a capability.
    for set in [Bounding, Ambient, Inheritable, Effective, Permitted] {
        caps::clear(None, set).doing("dropping", format!("{set:?} capabilities"))?;
    }
    Ok(())
}
