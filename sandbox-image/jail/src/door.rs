//! The door through which the zygote's Python comes in: two functions with C names and nothing but
//! numbers for arguments.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;

use crate::cell::{Channels, enter_cell};
use crate::error::{Doing, JailError};
use crate::report::Report;
use crate::seccomp::Filters;
use crate::spec::CellSpec;
use crate::sys;

/// What does not depend on the cell, made once in the zygote.
#[derive(Debug)]
struct Prepared {
    spec: CellSpec,
    filters: Filters,
    proc: OwnedFd,
}

static PREPARED: OnceLock<Prepared> = OnceLock::new();

/// Called once in the zygote. `spec` is a file with a [`CellSpec`] as JSON, `proc` an open `/proc`;
/// both are taken over. 0, or 1 with the reason on standard error.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_prepare(spec: i32, proc: i32) -> i32 {
    let (spec, proc) = (sys::adopt(spec), sys::adopt(proc));
    match prepare(spec, proc) {
        Ok(prepared) => i32::from(PREPARED.set(prepared).is_err()),
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// Called in a fork of the zygote, with one thread and Python's fork hooks run. Returns 0 in the
/// process that is to run code. Where it fails, it says so on `status` and returns 1.
#[expect(unsafe_code, reason = "a name for Python to find; there is no unsafe block")]
#[unsafe(no_mangle)]
pub extern "C" fn belljar_enter(
    control: i32,
    stdout: i32,
    stderr: i32,
    display: i32,
    status: i32,
) -> i32 {
    let Some(prepared) = PREPARED.get() else { return 1 };
    let [control, stdout, stderr, display, status] =
        [control, stdout, stderr, display, status].map(sys::adopt);
    let entered = status.try_clone().and_then(|word| Ok((word, prepared.proc.try_clone()?)));
    let Ok((word, proc)) = entered else { return 1 };
    let channels = Channels { control, stdout, stderr, display, status };
    match enter_cell(&prepared.spec, &prepared.filters, proc, channels) {
        Ok(()) => {
            // Its descriptor was closed with all the others.
            sys::forget([word]);
            0
        }
        Err(error) => {
            drop(sys::send(word.as_fd(), &Report::Broken { why: error.to_string() }, None));
            1
        }
    }
}

fn prepare(spec: OwnedFd, proc: OwnedFd) -> Result<Prepared, JailError> {
    let mut text = String::new();
    File::from(spec).read_to_string(&mut text).doing("reading", "the cell's specification")?;
    let spec = serde_json::from_str(&text).doing("reading", "the cell's specification")?;
    Ok(Prepared { spec, filters: Filters::compile()?, proc })
}
