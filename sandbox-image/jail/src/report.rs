//! What a cell's trusted part says to the warden, each as one message of JSON on a socket that the
//! code in the cell never had.

use serde::{Deserialize, Serialize};

/// One message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// The cell's processes exist. Handles on them come along as descriptors: on init, whose end is
    /// the end of everything in the cell, and on the process that will run the code.
    Born,
    /// The cell stands, jailed and waiting. The work directory comes along as a descriptor.
    Ready { entered: Entered },
    /// The cell could not be made.
    Broken { why: String },
}

/// What the kernel said while the cell locked itself up. Whether a layer holds is for the warden to
/// try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// What Landlock guards on this kernel.
    pub landlock: String,
    pub seccomp: String,
}
