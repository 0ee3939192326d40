//! The C interface for the zygote's Python: functions with C names that take only numbers.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use crate::cell::{CellIdentity, Channels, Side, ZygoteFiles, fork_cell};
use crate::error::{Context, JailError};
use crate::spec::{CellSpec, RootFs};
use crate::sys;
use crate::syscalls::seccomp::{CellFilters, Filters};

/// State that is the same for all cells, prepared once in the zygote.
#[derive(Debug)]
struct Prepared {
    spec: CellSpec,
    proc: OwnedFd,
    network_owner: Option<OwnedFd>,
}

static PREPARED: OnceLock<Prepared> = OnceLock::new();
static ENCLOSED: OnceLock<CellFilters> = OnceLock::new();

/// Called once in the zygote. `spec` is a file with a [`CellSpec`] as JSON, `proc` an open `/proc`, and
/// `network_owner` a user namespace or -1; this function takes ownership of them. Returns 0, or 1 with the reason on standard error.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_prepare(spec: i32, proc: i32, network_owner: i32) -> i32 {
    let (spec, proc) = (sys::adopt(spec), sys::adopt(proc));
    let network_owner = (network_owner >= 0).then(|| sys::adopt(network_owner));
    match prepare(spec, proc, network_owner) {
        Ok(prepared) => i32::from(PREPARED.set(prepared).is_err()),
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Called once in the zygote, after all imports and before the first fork. Returns 0, or 1 with the
/// reason on standard error.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_enclose() -> i32 {
    let Some(prepared) = PREPARED.get() else { return 1 };
    match Filters::compile(&prepared.spec.root_fs).and_then(Filters::enclose) {
        Ok(filters) => i32::from(ENCLOSED.set(filters).is_err()),
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Called in the zygote, between Python's fork hooks. Returns 0 in the cell, 1 in the zygote if the
/// cell is being created, and 2 in the zygote if the fork failed, with the reason on standard error.
/// `user` is -1 if the cell has none; `own` is the cell's folder on a shared root, a free network namespace on a
/// private one, or -1. The caller keeps ownership of the descriptors.
#[expect(unsafe_code, reason = "a symbol that Python looks up; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_fork(
    control: i32,
    stdout: i32,
    stderr: i32,
    display: i32,
    status: i32,
    user: i32,
    own: i32,
) -> i32 {
    let (Some(prepared), Some(filters)) = (PREPARED.get(), ENCLOSED.get()) else { return 2 };
    let [control, stdout, stderr, display, status] =
        [control, stdout, stderr, display, status].map(sys::lend);
    let channels = Channels { control, stdout, stderr, display, status };
    let is_private = prepared.spec.root_fs == RootFs::Private;
    let own = (own >= 0).then(|| sys::lend(own));
    let identity = CellIdentity {
        user: u32::try_from(user).ok(),
        folder: own.filter(|_| !is_private),
        network: own.filter(|_| is_private),
    };
    let zygote = ZygoteFiles {
        proc: prepared.proc.as_fd(),
        network_owner: prepared.network_owner.as_ref().map(AsFd::as_fd),
    };
    match fork_cell(&prepared.spec, filters, zygote, identity, channels) {
        Ok(Side::Cell) => 0,
        Ok(Side::Zygote) => 1,
        Err(error) => {
            eprintln!("{error}");
            2
        }
    }
}

fn prepare(
    spec: OwnedFd,
    proc: OwnedFd,
    network_owner: Option<OwnedFd>,
) -> Result<Prepared, JailError> {
    let mut text = String::new();
    File::from(spec).read_to_string(&mut text).doing("reading", "the cell's specification")?;
    let spec = serde_json::from_str(&text).doing("reading", "the cell's specification")?;
    Ok(Prepared { spec, proc, network_owner })
}
