//! Functions that Python calls in the zygote to make forks cheap: large pages, immortal objects, and pages that
//! are copied in advance.

mod arena;
mod immortal;
mod pages;
