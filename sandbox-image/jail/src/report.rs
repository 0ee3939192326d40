//! Reports from a cell's trusted part to the warden, each one JSON message on a socket that is closed
//! before the cell's code runs.

use serde::{Deserialize, Serialize};

/// One report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// The cell's processes exist. Two pidfds come along: of init, whose end ends everything in the
    /// cell, and of the process that will run the code.
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
