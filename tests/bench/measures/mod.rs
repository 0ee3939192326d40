//! What is measured, one file each.

pub mod burst;
pub mod fresh;
pub mod memory;
pub mod neighbours;
pub mod rest;
pub mod scripted;
pub mod start;
pub mod throughput;
