//! Attempts to leave a cell, to learn about the machine, and to change what others rely on.

mod devices;
mod escapes;
mod files;
mod information;
mod ipc;
mod kernel;
mod network;
mod processes;
mod races;
mod secrets;
mod shared;
mod signals;
mod syscalls;
mod tampering;
