//! Limits of each process. They hold without a cgroup, and no process can raise them again.

use std::os::fd::BorrowedFd;

use nix::sys::resource::{Resource, setrlimit};

use crate::error::{Doing, JailError};
use crate::spec::CellSpec;
use crate::sys;

/// Stack of the main thread: what Linux usually gives.
const STACK_BYTES: u64 = 8 << 20;

pub(crate) fn set(proc: BorrowedFd<'_>, spec: &CellSpec) -> Result<(), JailError> {
    // What the zygote had mapped when it was forked is in every child's count from the start.
    let data = sys::data_bytes(proc)? + spec.memory_bytes;
    let table = [
        // A clean MemoryError where malloc is refused. Counts private writable memory, so that
        // TensorFlow's large reservations of address space do no harm.
        (Resource::RLIMIT_DATA, data),
        // Counted in the cell's own user namespace; init is the one more.
        (Resource::RLIMIT_NPROC, spec.processes + 1),
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
    Ok(())
}

/// The limit on open files, apart from the others: the kernel also takes it for a limit on the
/// descriptors that a *user* may have on their way through sockets, and counts all cells' together.
/// Who is to be trusted sends its own before it has this, and no cell can keep it from doing so.
pub(crate) fn limit_open_files(spec: &CellSpec) -> Result<(), JailError> {
    let limit = spec.open_files;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).doing("limiting", "open files")
}
