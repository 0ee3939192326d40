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
    Ready { layers: Vec<LayerReport> },
    /// The cell could not be made.
    Broken { why: String },
}

/// A layer of the wall, as the cell found it after it had entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerReport {
    pub name: String,
    pub holds: bool,
    pub detail: String,
}

impl LayerReport {
    pub(crate) fn new(name: &str, holds: bool, detail: impl Into<String>) -> LayerReport {
        LayerReport { name: name.to_owned(), holds, detail: detail.into() }
    }
}
