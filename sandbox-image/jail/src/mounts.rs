//! Mounts: of the zygote's root while it is built, and of a cell's scratch space.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::error::{Doing, JailError};
use crate::spec::{CellSpec, WORKSPACE};
use crate::sys;

const NONE: Option<&str> = None;
/// Nothing is executed, and nothing is a device, where the code can write.
const SCRATCH: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
/// An empty folder of the root, for as long as a mount takes to be put where it belongs.
const HOLD: &str = "/mnt";
/// Another one, which stays empty.
const EMPTY: &str = "/run";

/// From here on nothing that is mounted shows outside, or comes in.
pub(crate) fn detach_from_outside() -> Result<(), JailError> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).doing("making private", "/")
}

/// A small file system in memory, for the root's own folders and files.
pub(crate) fn empty_root(at: &Path) -> Result<(), JailError> {
    mount(Some("root"), at, Some("tmpfs"), MsFlags::MS_NOSUID, Some("mode=755,size=64m"))
        .doing("mounting an empty root at", at.display().to_string())
}

/// What a mount may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Files,
    Device,
}

/// Shows what is at `from` at `to` as well, read-only.
pub(crate) fn show(from: &Path, to: &Path, what_for: Use) -> Result<(), JailError> {
    // Recursive, since the kernel refuses to uncover what a mount below may hide.
    mount(Some(from), to, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .doing("showing", from.display().to_string())?;
    sys::tighten(to, what_for == Use::Device)
}

/// Makes `root` the root, and lets go of everything that was outside it.
pub(crate) fn pivot_into(root: &Path) -> Result<(), JailError> {
    let what = root.display().to_string();
    rustix::process::chdir(root).doing("entering", &what)?;
    // With both the same, the old root ends up on top of the new one, and is taken off.
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

/// What the libraries write while they are imported: caches and semaphores. A cell's own scratch
/// space lies on top of it.
pub(crate) fn zygote_scratch() -> Result<(), JailError> {
    for target in ["/tmp", "/dev/shm"] {
        mount(Some("scratch"), target, Some("tmpfs"), SCRATCH, Some("mode=1777,size=64m"))
            .doing("mounting", target)?;
    }
    Ok(())
}

/// The only places where a cell can write, all on one file system of its own, so that one limit
/// covers them. Ends with the cell.
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
    // Covered, not unmounted: that would wait for every processor of the machine, some 10 ms.
    mount(Some(EMPTY), HOLD, NONE, MsFlags::MS_BIND, NONE).doing("covering", HOLD)?;
    rustix::process::chdir(WORKSPACE).doing("entering", WORKSPACE)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, WORKSPACE, flags, Mode::empty()).doing("opening", WORKSPACE)
}
