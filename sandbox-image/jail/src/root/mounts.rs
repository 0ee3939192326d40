//! Mounts: the zygote's root while it is built, and a cell's scratch space.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::error::{Context, JailError};
use crate::spec::{CellSpec, WORKSPACE};
use crate::sys;

const NONE: Option<&str> = None;
/// Where the code can write, no file is executable and no file is a device.
const SCRATCH: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
/// An empty folder of the root, used while a mount is moved into place.
const HOLD: &str = "/mnt";
/// Another folder of the root, which stays empty.
const EMPTY: &str = "/run";

/// From here on mounts do not propagate to or from the outside.
pub(crate) fn detach_from_outside() -> Result<(), JailError> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).doing("making private", "/")
}

/// A small tmpfs for the root's own folders and files.
pub(crate) fn empty_root(at: &Path) -> Result<(), JailError> {
    mount(Some("root"), at, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755,size=64m"))
        .doing("mounting an empty root at", at.display().to_string())
}

/// Purpose of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Files,
    Device,
}

/// Bind-mounts `from` at `to`, read-only.
pub(crate) fn show(from: &Path, to: &Path, what_for: Use) -> Result<(), JailError> {
    // Recursive, because the kernel refuses to uncover files that a mount below hides.
    mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .doing("showing", from.display().to_string())?;
    sys::tighten(to, what_for == Use::Device)
}

/// Makes `root` the root and detaches everything outside it.
pub(crate) fn pivot_into(root: &Path) -> Result<(), JailError> {
    let what = root.display().to_string();
    rustix::process::chdir(root).doing("entering", &what)?;
    // With both paths the same, the old root is stacked on the new one and can be unmounted.
    nix::unistd::pivot_root(".", ".").doing("pivoting into", &what)?;
    umount2(".", MntFlags::MNT_DETACH).doing("letting go of", "the old root")?;
    rustix::process::chdir("/").doing("entering", "/")?;
    mount(
        NONE,
        "/",
        NONE,
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID,
        NONE,
    )
    .doing("making read-only", "/")
}

/// Scratch space for files that libraries write on import: caches and semaphores. A cell mounts its
/// own scratch space over it.
pub(crate) fn zygote_scratch() -> Result<(), JailError> {
    for target in ["/tmp", "/dev/shm"] {
        mount(Some("scratch"), target, Some("tmpfs"), SCRATCH, Some("mode=1777,size=64m"))
            .doing("mounting", target)?;
    }
    Ok(())
}

/// All places where a cell can write, on one file system, so that one limit covers them. Destroyed
/// with the cell.
pub(crate) fn scratch(spec: &CellSpec) -> Result<OwnedFd, JailError> {
    let options = format!(
        "mode=755,size={},nr_inodes={}",
        spec.scratch_bytes,
        // The root folder and the three below.
        spec.scratch_files + 4
    );
    mount(Some("scratch"), HOLD, Some("tmpfs"), SCRATCH, Some(options.as_str()))
        .doing("mounting", "the scratch space")?;
    for (name, target) in [("workspace", WORKSPACE), ("tmp", "/tmp"), ("shm", "/dev/shm")] {
        let from = Path::new(HOLD).join(name);
        rustix::fs::mkdir(&from, Mode::RWXU).doing("making", target)?;
        mount(Some(&from), target, NONE, MsFlags::MS_BIND, NONE).doing("mounting", target)?;
    }
    // Covered, not unmounted: unmounting waits for every processor of the machine, about 10 ms.
    mount(Some(EMPTY), HOLD, NONE, MsFlags::MS_BIND, NONE).doing("covering", HOLD)?;
    rustix::process::chdir(WORKSPACE).doing("entering", WORKSPACE)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, WORKSPACE, flags, Mode::empty()).doing("opening", WORKSPACE)
}
