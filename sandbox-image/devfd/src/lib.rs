//! `/dev/fd/N`, `/dev/stdin`, `/dev/stdout` and `/dev/stderr` in cells with a root of their own.
//!
//! Elsewhere these are links into `/proc`, which such a cell does not have. The dynamic loader loads
//! this library before the C library in every program of the cell, and a path that names a descriptor
//! yields a duplicate of that descriptor. All other calls go to the C library.
//!
//! It is not part of the sandbox: the program could do the same without it.

#![deny(unsafe_code)]

mod path;

#[cfg(not(test))] // otherwise the tests would open their own files through it
#[expect(unsafe_code, reason = "functions of the C library, with pointers for arguments")]
mod ffi;
