//! PID 1 of a cell: takes orphans in, stops everything between two runs, and ends everything when
//! the warden is gone.
//!
//! On a shared root it has another number, and its cell is all that its user has.
//!
//! It is a program of its own, so small that starting it costs next to nothing, and shares no
//! memory with anybody. How the code's process ends is not its business: that one is the warden's
//! own child.

use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::error::{Doing, JailError};
use crate::spec::Ground;
use crate::sys;

/// Where the program lies on a root of our own.
pub const PATH: &str = "/opt/belljar/init";

/// Where the program lies.
pub(crate) fn program(ground: &Ground) -> Result<CString, JailError> {
    let path = match ground {
        Ground::Own => PATH.as_bytes(),
        Ground::Shared { init, .. } => init.as_os_str().as_bytes(),
    };
    CString::new(path).doing("naming", "init")
}

/// What the warden may ask for: one byte, in a message of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// Stop every other process of the cell. Answered by the same byte once that is done, and by
    /// nothing else where it cannot be.
    Stop = b's',
    /// Let them go on. Not answered.
    GoOn = b'g',
}

/// Returns when the warden has closed its end of `warden`, and everything else in the cell is dead or
/// dies with this process.
pub fn run(warden: BorrowedFd<'_>) -> Result<(), JailError> {
    sys::ignore_children()?;
    SigSet::all().thread_block().doing("blocking", "signals")?;
    loop {
        let mut watched = [PollFd::from_borrowed_fd(warden, PollFlags::IN)];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).doing("waiting for", "the warden"),
        }
        let mut order = [0];
        match recv(warden, &mut order, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return end_all(), // it has hung up
            Ok(_) => obey(warden, order[0]),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).doing("listening to", "the warden"),
        }
    }
}

fn obey(warden: BorrowedFd<'_>, order: u8) {
    const STOP: u8 = Order::Stop as u8;
    const GO_ON: u8 = Order::GoOn as u8;
    let done = match order {
        STOP => signal_all(Signal::SIGSTOP),
        GO_ON => signal_all(Signal::SIGCONT),
        _ => Err(Errno::EINVAL),
    };
    if order != GO_ON {
        let answer = [if done.is_ok() { order } else { b'-' }];
        // A warden that is gone is noticed in the next round.
        let _ = send(warden, &answer, SendFlags::NOSIGNAL);
    }
}

/// Signals every process of the cell but this one. The kernel does it in one go, and a fork that is
/// under way gets the signal too, so nobody can run away from it.
fn signal_all(signal: Signal) -> Result<(), Errno> {
    // "All" are the namespace's for PID 1, and the user's for a cell's user. For anybody else they
    // would be the machine's.
    if std::process::id() != 1 && rustix::process::geteuid().is_root() {
        return Err(Errno::EPERM);
    }
    match kill(Pid::from_raw(-1), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error),
    }
}

/// As PID 1 it need only end, and the kernel ends the rest.
fn end_all() -> Result<(), JailError> {
    if std::process::id() == 1 {
        return Ok(());
    }
    signal_all(Signal::SIGKILL).doing("ending", "the cell")
}
