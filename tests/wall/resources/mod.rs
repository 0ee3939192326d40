//! Attempts to use more than a cell may have, or what other cells need.

mod bombs;
mod concurrency;
mod limits;
mod memory;
mod memory_growth;
mod neighbours;
mod out_of_memory;
mod resource_hoarding;
mod slow_readers;
mod time;
