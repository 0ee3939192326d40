//! PID 1 of a cell: reaps orphans, stops all processes between two runs, and ends all of them when the
//! warden exits. Its one descriptor is standard input: a socket to the warden.
//!
//! On a shared root it has another process id, and its cell consists of all processes of its user.
//!
//! It is a separate program, so that it shares no memory with other processes. It uses no libraries,
//! because each cell starts one, and loading the C library took longer than creating the cell's
//! namespaces. It does not track how the code's process ends: that one is the warden's child.

#![no_main]
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "one function per system call, and the entry point")]
mod kernel;

use init::{InitCommand, REFUSED};
use kernel::Failed;

extern "C" fn main() -> ! {
    // An error cannot be reported to any process, so this one exits, which ends the cell.
    kernel::exit(match run() {
        Ok(()) => 0,
        Err(Failed) => 1,
    })
}

/// Returns when the warden has closed the connection and all other processes of the cell are dead, or
/// die with this process.
fn run() -> Result<(), Failed> {
    kernel::ignore_children()?;
    kernel::block_signals()?;
    while let Some(command) = kernel::receive()? {
        obey(command);
    }
    end_all()
}

fn obey(command: u8) {
    const STOP: u8 = InitCommand::Stop as u8;
    const CONTINUE: u8 = InitCommand::Continue as u8;
    let done = match command {
        STOP => signal_all(libc::SIGSTOP),
        CONTINUE => signal_all(libc::SIGCONT),
        _ => Err(Failed),
    };
    if command != CONTINUE {
        // If the warden is gone, the next read detects it.
        kernel::send(if done.is_ok() { command } else { REFUSED });
    }
}

/// Signals every process of the cell but this one. The kernel does it atomically, and a fork in
/// progress gets the signal too, so no process can escape it.
fn signal_all(signal: libc::c_int) -> Result<(), Failed> {
    // For PID 1, "all" means its namespace; for a cell's user, all processes of that user. For any other
    // process it would mean the whole machine.
    if kernel::process() != 1 && kernel::user() == 0 {
        return Err(Failed);
    }
    kernel::signal_all(signal)
}

/// As PID 1 it only needs to exit; the kernel ends the rest.
fn end_all() -> Result<(), Failed> {
    match kernel::process() {
        1 => Ok(()),
        _ => signal_all(libc::SIGKILL),
    }
}
