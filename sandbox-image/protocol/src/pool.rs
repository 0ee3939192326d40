//! The state of a warden's pool of cells, for metrics and for what scales wardens.

use serde::{Deserialize, Serialize};

/// The cells of a warden at one moment. A warden of an older version reports zeros.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolReport {
    /// Maximum number of cells in use at once.
    pub max_cells: u64,
    /// Cells that belong to a connection.
    pub cells_in_use: u64,
    /// Cells whose code runs now.
    pub cells_running: u64,
    /// Requests that wait for a cell.
    pub requests_waiting: u64,
    /// How long the first of them has waited.
    pub oldest_wait_ms: u64,
    pub kits: Vec<KitReport>,
}

/// The standbys of one kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KitReport {
    /// `science`, …
    pub kit: String,
    /// Cells that wait for code.
    pub standbys: u64,
    /// Number of standbys that the pool keeps now.
    pub target: u64,
    /// Cells that are being made.
    pub making: u64,
    /// Absent before the first one is ready.
    pub zygote: Option<ZygoteReport>,
}

/// The process that a kit's cells are forked from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZygoteReport {
    pub age_ms: u64,
    /// Cells that it has made.
    pub forks: u32,
    /// Its resident memory; 0 if it cannot be read.
    pub memory_bytes: u64,
}
