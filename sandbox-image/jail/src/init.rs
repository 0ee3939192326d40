//! PID 1 of a cell: reaps, and says how the code's process ended. It shares nothing with that
//! process but an ancestor, and runs not a line of Python.

use std::os::fd::BorrowedFd;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{WaitOptions, wait};

use crate::error::{Doing, JailError};
use crate::report::{Ended, Report};
use crate::sys;

/// Waits for the end of `code`, reports it, and ends the namespace with itself.
///
/// When this process ends the kernel kills whatever is left in the cell, so nothing that the code
/// started can outlive it. The same happens when the warden is gone.
pub(crate) fn run(code: Pid, status: BorrowedFd<'_>) -> ! {
    match wait_for(code, status) {
        Ok(Some(ended)) => drop(sys::send(status, &Report::Ended(ended), None)),
        Ok(None) => {} // nobody is left to tell
        Err(error) => {
            drop(sys::send(status, &Report::Broken { why: error.to_string() }, None));
        }
    }
    sys::exit_now(0)
}

/// `None` when the warden is gone first.
fn wait_for(code: Pid, status: BorrowedFd<'_>) -> Result<Option<Ended>, JailError> {
    // All of them: what the code sends to PID 1 must not reach a handler that Python left there.
    SigSet::all().thread_block().doing("blocking", "signals")?;
    let children = SignalFd::with_flags(&SigSet::from(Signal::SIGCHLD), SfdFlags::SFD_NONBLOCK)
        .doing("watching", "children")?;
    loop {
        // Before the first wait as well: the signal may have come before it was blocked.
        // Not by nix, which has no words for an end by a real-time signal.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid.as_raw_pid() != code.as_raw() {
                continue; // an orphan
            }
            match (status.exit_status(), status.terminating_signal()) {
                (Some(exit), _) => return Ok(Some(Ended::Exited(exit))),
                (_, Some(signal)) => return Ok(Some(Ended::Signalled(signal))),
                (None, None) => {}
            }
        }
        let warden = PollFd::from_borrowed_fd(status, PollFlags::empty());
        let mut watched = [PollFd::new(&children, PollFlags::IN), warden];
        match poll(&mut watched, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("waiting for", "children"),
        }
        if watched[1].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(None);
        }
        while let Ok(Some(_)) = children.read_signal() {}
    }
}
