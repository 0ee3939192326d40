//! The steps in which a process gives up its privileges.
//!
//! ```text
//! warden ── starts ──▶ enter_root ── exec ──▶ zygote (Python) ── fork ──▶ fork_cell ──▶ cell
//!                      root/                                              cell.rs
//! ```
//!
//! [`enter_root`] turns a new child of the warden into the zygote, a process that sees nothing but
//! Python. Each fork of the zygote calls [`fork_cell`] before it receives untrusted code. Both are
//! linear, run in a process with one thread, and know nothing of requests. There is one file per
//! kernel facility; `root/` concerns files, `syscalls/` the filter, `memory/` the cost of a fork. All `unsafe`
//! is in [`sys`], in `memory/large.rs` and in symbols that Python looks up.

#![deny(unsafe_code)]

mod cell;
mod error;
mod ffi;
mod landlock;
mod memory;
mod namespaces;
mod networks;
mod report;
mod rlimits;
mod root;
mod spec;
#[expect(unsafe_code, reason = "system calls that no crate offers safely, each with its argument")]
mod sys;
mod syscalls;
mod users;

pub use cell::{CellIdentity, Channels, Side, ZygoteFiles, fork_cell};
pub use error::JailError;
pub use report::{Entered, Relocated, Report};
pub use root::{PIP, enter_root, host_root, stay_on_root};
pub use spec::{CellSpec, INIT, PythonHome, RootFs, RootSpec, WORKSPACE};
pub use syscalls::container::profile as container_profile;
pub use syscalls::docs::document as calls_document;
