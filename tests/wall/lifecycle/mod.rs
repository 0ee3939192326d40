//! Cells between and after runs: what is stopped, collected, repeated and removed.

mod cleanup;
mod determinism;
mod freezing;
mod output_collection;
mod recovery;
