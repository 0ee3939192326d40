//! Functions that Python calls in the zygote to make forks cheap: large pages, immortal objects, and pages that
//! are copied in advance.

mod arena;
mod immortal;
#[expect(unsafe_code, reason = "the one module that replaces memory which is in use")]
mod large;
mod libraries;
mod mappings;
mod pages;

/// Size of a large page.
const LARGE: usize = 2 << 20;
