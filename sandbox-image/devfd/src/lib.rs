//! `/dev/fd/N`, `/dev/stdin`, `/dev/stdout` and `/dev/stderr` in cells with a root of their own.
//!
//! Elsewhere they are links into `/proc`, which such a cell does not have. The dynamic loader puts this
//! library before the C library in every program of the cell, and a path that names a descriptor is
//! answered with a copy of that descriptor. All else goes on to the C library.
//!
//! It is no part of the sandbox: it does what the program could do by itself.

#![deny(unsafe_code)]

mod path;

#[cfg(not(test))] // or the tests would open their own files with it
#[expect(unsafe_code, reason = "functions of the C library, with pointers for arguments")]
mod door;
