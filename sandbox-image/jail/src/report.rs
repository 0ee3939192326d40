//! Reports to the warden, each one JSON message on a socket: of a cell's trusted part, on one that is closed
//! before the cell's code runs, and of a zygote.

use serde::{Deserialize, Serialize};

/// One report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// The cell's processes exist. Two pidfds come along: of init, whose end ends everything in the
    /// cell, and of the process that will run the code; and its network namespace if that is new.
    Born,
    /// The cell is confined and waits for code. The work directory's descriptor comes along.
    Ready { entered: Entered },
    /// The cell could not be created.
    Broken { why: String },
}

/// What the kernel reported while the cell was confined. The warden tests whether each layer is
/// effective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// What Landlock enforces on this kernel.
    pub landlock: String,
    pub seccomp: String,
}

/// How much of a zygote's libraries is in large pages. Sent once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relocated {
    pub moved_bytes: u64,
    /// Of these, bytes for which no large page was free.
    pub small_bytes: u64,
    /// Bytes that stay mapped from files.
    pub left_bytes: u64,
    /// Number of memory mappings before and after.
    pub mappings: (usize, usize),
    /// Why something is left, if it is known.
    pub why: String,
}
