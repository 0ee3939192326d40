//! PID 1 of a cell: takes orphans in, stops everything between two runs, and ends everything when
//! the warden is gone. Its one descriptor is standard input: a socket to the warden.
//!
//! On a shared root it has another number, and its cell is all that its user has.
//!
//! It is a program of its own, so that it shares no memory with anybody, and there is one for each cell,
//! so it has no library: to load the C library took longer than all that a cell's namespaces take. How
//! the code's process ends is not its business: that one is the warden's own child.

#![no_main]
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "system calls, one a function, and where the kernel begins")]
mod kernel;

use init::{Order, REFUSED};
use kernel::Failed;

extern "C" fn main() -> ! {
    // Where it fails nobody is there to be told, and the cell ends with this process.
    kernel::exit(match run() {
        Ok(()) => 0,
        Err(Failed) => 1,
    })
}

/// Returns when the warden has hung up, and everything else in the cell is dead or dies with this
/// process.
fn run() -> Result<(), Failed> {
    kernel::ignore_children()?;
    kernel::block_signals()?;
    while let Some(order) = kernel::receive()? {
        obey(order);
    }
    end_all()
}

fn obey(order: u8) {
    const STOP: u8 = Order::Stop as u8;
    const GO_ON: u8 = Order::GoOn as u8;
    let done = match order {
        STOP => signal_all(libc::SIGSTOP),
        GO_ON => signal_all(libc::SIGCONT),
        _ => Err(Failed),
    };
    if order != GO_ON {
        // A warden that is gone is noticed in the next round.
        kernel::send(if done.is_ok() { order } else { REFUSED });
    }
}

/// Signals every process of the cell but this one. The kernel does it in one go, and a fork that is
/// under way gets the signal too, so nobody can run away from it.
fn signal_all(signal: libc::c_int) -> Result<(), Failed> {
    // "All" are the namespace's for PID 1, and the user's for a cell's user. For anybody else they
    // would be the machine's.
    if kernel::process() != 1 && kernel::user() == 0 {
        return Err(Failed);
    }
    kernel::signal_all(signal)
}

/// As PID 1 it need only end, and the kernel ends the rest.
fn end_all() -> Result<(), Failed> {
    match kernel::process() {
        1 => Ok(()),
        _ => signal_all(libc::SIGKILL),
    }
}
