//! Limits of each process. They work without a cgroup, and no process can raise them.

use std::os::fd::BorrowedFd;

use nix::sys::resource::{Resource, setrlimit};

use crate::error::{Context, JailError};
use crate::namespaces::write_proc;
use crate::spec::CellSpec;
use crate::sys;

/// One part in this many of a cell's memory cannot be allocated. It is reserved for implicit use, mainly
/// copies of the zygote's pages, so that code that allocates too much gets a MemoryError before the
/// whole cell exceeds its limit and is stopped.
const UNASKED: u64 = 32;
/// Stack of the main thread: Linux's usual default.
const STACK_BYTES: u64 = 8 << 20;

pub(crate) fn set(proc: BorrowedFd<'_>, spec: &CellSpec) -> Result<(), JailError> {
    // Memory that the zygote had mapped at the fork counts for each child from the start.
    let data = sys::data_bytes(proc)? + spec.memory_bytes - spec.memory_bytes / UNASKED;
    let table = [
        // Makes malloc fail with a clean MemoryError. Counts private writable memory only, so that
        // TensorFlow's large reservations of address space are allowed.
        (Resource::RLIMIT_DATA, data),
        // The kernel counts threads in the cell's own user namespace; init is the additional one.
        (Resource::RLIMIT_NPROC, spec.threads + 1),
        // A file cannot be larger than the disk that it is on: this also limits sparse files.
        (Resource::RLIMIT_FSIZE, spec.scratch_bytes),
        (Resource::RLIMIT_STACK, STACK_BYTES),
        (Resource::RLIMIT_CORE, 0),
        // Locked memory cannot be swapped, so other cells could not use it.
        (Resource::RLIMIT_MEMLOCK, 64 << 10),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_NICE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_SIGPENDING, 1024),
    ];
    for (resource, limit) in table {
        setrlimit(resource, limit, limit).doing("limiting", format!("{resource:?} to {limit}"))?;
    }
    // If all cells together fill the container or the machine, the OOM killer picks a cell, not the
    // zygote or the warden.
    write_proc(proc, "self/oom_score_adj", "1000")
}

/// The limit on open files, separate from the others: the kernel also applies it to the descriptors
/// that a *user* has in flight on sockets, counted over all cells together. Trusted processes send
/// theirs before they set this limit, so no cell can block them.
pub(crate) fn limit_open_files(spec: &CellSpec) -> Result<(), JailError> {
    let limit = spec.open_files;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).doing("limiting", "open files")
}
