//! PID 1 of a cell: takes orphans in, and ends everything when the warden is gone.
//!
//! It is a program of its own, so small that starting it costs next to nothing, and shares no
//! memory with anybody. How the code's process ends is not its business: that one is the warden's
//! own child.

use std::os::fd::BorrowedFd;

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, poll};

use crate::error::{Doing, JailError};
use crate::sys;

/// Where the program lies in the root.
pub const PATH: &std::ffi::CStr = c"/opt/belljar/init";

/// Returns when the warden has closed its end of `warden`. The caller ends the process then, and
/// with it the kernel ends whatever is left in the cell.
pub fn run(warden: BorrowedFd<'_>) -> Result<(), JailError> {
    sys::ignore_children()?;
    SigSet::all().thread_block().doing("blocking", "signals")?;
    loop {
        let mut watched = [PollFd::from_borrowed_fd(warden, PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(_) => return Ok(()), // a hang-up, or an error: there is nothing else to be told
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("waiting for", "the warden"),
        }
    }
}
