//! The steps in which a process gives up its power.
//!
//! ```text
//! warden ── starts ──▶ enter_root ── exec ──▶ zygote (Python) ── fork ──▶ fork_cell ──▶ cell
//!                      root.rs                                            cell.rs
//! ```
//!
//! [`enter_root`] turns a fresh child of the warden into a process that sees nothing but Python:
//! the zygote becomes that. [`fork_cell`] is what each fork of the zygote does to itself before
//! any stranger's code comes near. Both read from top to bottom, both run in a process with one
//! thread, and neither knows what a request is. One file a kernel facility; all `unsafe` is in
//! [`sys`].

#![deny(unsafe_code)]

mod cell;
mod container;
mod door;
mod error;
pub mod init;
mod landlock;
mod mounts;
mod namespaces;
mod report;
mod rlimits;
mod root;
mod seccomp;
mod spec;
#[expect(unsafe_code, reason = "system calls that no crate offers safely, each with its argument")]
mod sys;
mod table;

pub use cell::{Channels, Side, fork_cell};
pub use container::profile as container_profile;
pub use error::JailError;
pub use report::{LayerReport, Report};
pub use root::enter_root;
pub use spec::{CellSpec, PythonHome, RootSpec, WORKSPACE};
