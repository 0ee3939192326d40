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

mod arena;
mod calls;
mod cell;
mod container;
mod door;
mod error;
mod immortal;
mod landlock;
mod mounts;
mod namespaces;
mod pages;
mod report;
mod rlimits;
mod root;
mod seccomp;
pub mod shared;
mod spec;
#[expect(unsafe_code, reason = "system calls that no crate offers safely, each with its argument")]
mod sys;
mod table;
mod users;

pub use calls::document as calls_document;
pub use cell::{Channels, Own, Side, fork_cell};
pub use container::profile as container_profile;
pub use error::JailError;
pub use report::{Entered, Report};
pub use root::{PIP, enter_root, stay_on_root};
pub use spec::{CellSpec, Ground, INIT, PythonHome, RootSpec, WORKSPACE};
