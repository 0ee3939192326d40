//! The dice and the clock of cells that can be repeated.
//!
//! The zygote of a warden that was given a seed is started with this library before the C library,
//! so that Python and whatever it imports ask us where they would ask the kernel: `getrandom` for
//! bytes, `clock_gettime` and its older sisters for the time. Without a seed it is not there at all.
//!
//! It is no part of the wall: code that wants real dice or the real time makes the system call.

#![deny(unsafe_code)]

mod clock;
mod dice;
#[cfg(not(test))] // or the tests would have no clock
#[expect(unsafe_code, reason = "functions of the C library, with pointers for arguments")]
mod door;
