//! What all parts of the server share, and what none of them owns: interactions and their events, the
//! tenants that they belong to, faults, and what is counted about requests.
//!
//! It depends on no HTTP, no disk, no clock and no sandbox.

#![forbid(unsafe_code)]

pub mod chaos;
pub mod counts;
pub mod failure;
pub mod ids;
pub mod interaction;
pub mod namespace;
pub mod output;
pub mod owner;
