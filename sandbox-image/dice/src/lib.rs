//! Seeded random numbers and a virtual clock for reproducible cells.
//!
//! If the warden has a seed, the dynamic loader loads this library into the zygote before the C
//! library. Python and its imports then get random bytes (`getrandom`) and the time (`clock_gettime`
//! and its older variants) from here instead of the kernel. Without a seed it is not loaded.
//!
//! It is not part of the sandbox: code that makes the system calls itself gets the kernel's values.

#![deny(unsafe_code)]

mod clock;
#[cfg(not(test))] // otherwise the tests would have no clock
#[expect(unsafe_code, reason = "functions of the C library, with pointers for arguments")]
mod ffi;
mod rng;
