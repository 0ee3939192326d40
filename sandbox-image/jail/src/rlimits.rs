//! Limits of each process. They hold without a cgroup, and no process can raise them again.

use std::os::fd::BorrowedFd;

use nix::sys::resource::{Resource, setrlimit};

use crate::error::{Doing, JailError};
use crate::namespaces::tell;
use crate::spec::CellSpec;
use crate::sys;

/// This part of its memory a cell cannot get by asking for it. It is left for what nobody asks for,
/// copies of the zygote's pages above all, so that code which wants too much gets a MemoryError
/// before the cell as a whole is past its limit and is stopped.
const UNASKED: u64 = 32;
/// Stack of the main thread: what Linux usually gives.
const STACK_BYTES: u64 = 8 << 20;

pub(crate) fn set(proc: BorrowedFd<'_>, spec: &CellSpec) -> Result<(), JailError> {
    // What the zygote had mapped when it was forked is in every child's count from the start.
    let data = sys::data_bytes(proc)? + spec.memory_bytes - spec.memory_bytes / UNASKED;
    let table = [
        // A clean MemoryError where malloc is refused. Counts private writable memory, so that
        // TensorFlow's large reservations of address space do no harm.
        (Resource::RLIMIT_DATA, data),
        // The kernel counts threads, in the cell's own user namespace; init is the one more.
        (Resource::RLIMIT_NPROC, spec.threads + 1),
        // A file larger than the disk it lies on cannot be: sparse ones end here.
        (Resource::RLIMIT_FSIZE, spec.scratch_bytes),
        (Resource::RLIMIT_STACK, STACK_BYTES),
        (Resource::RLIMIT_CORE, 0),
        // Memory that cannot be swapped is memory that neighbours cannot have.
        (Resource::RLIMIT_MEMLOCK, 64 << 10),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_NICE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_SIGPENDING, 1024),
    ];
    for (resource, limit) in table {
        setrlimit(resource, limit, limit).doing("limiting", format!("{resource:?} to {limit}"))?;
    }
    // Where all cells together fill the container or the machine, the kernel takes one of them, and
    // not the zygote or the warden.
    tell(proc, "self/oom_score_adj", "1000")
}

/// The limit on open files, apart from the others: the kernel also takes it for a limit on the
/// descriptors that a *user* may have on their way through sockets, and counts all cells' together.
/// Who is to be trusted sends its own before it has this, and no cell can keep it from doing so.
pub(crate) fn limit_open_files(spec: &CellSpec) -> Result<(), JailError> {
    let limit = spec.open_files;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).doing("limiting", "open files")
}
