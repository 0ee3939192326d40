//! System calls of cells: the policy as tables, the filter that is compiled from them, and the documents that
//! are generated from them.

pub(crate) mod container;
pub(crate) mod docs;
mod policy;
pub(crate) mod seccomp;
