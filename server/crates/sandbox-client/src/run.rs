//! What goes into a run, and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{CellLimits, RunResult, TextStream, Tier};
use tokio::sync::Notify;

use crate::{Image, OutputFile};
use resources::budget::Share;

/// The code that a cell is requested for.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'c> {
    /// This code only.
    Only(&'c str),
    /// This code first, then possibly code that needs more libraries or time.
    First(&'c str),
}

impl<'c> Expected<'c> {
    pub(crate) fn text(self) -> &'c str {
        let (Expected::Only(code) | Expected::First(code)) = self;
        code
    }
}

/// Code to run in a cell that is kept.
#[derive(Debug)]
pub struct RunRequest<'r> {
    pub code: &'r str,
    /// A lower time limit than the cell's.
    pub at_most: Option<Duration>,
    /// Each notification raises `KeyboardInterrupt` in the code.
    pub interrupts: &'r Notify,
}

/// Output that the code has just written or shown.
#[derive(Debug)]
pub enum LivePiece {
    Text(TextStream, Bytes),
    Image(Image),
}

/// Output of one run.
#[derive(Debug, Clone)]
pub struct RunOutput {
    pub finished: RunResult,
    /// The isolation of its cell.
    pub tier: Tier,
    /// The limits of its cell.
    pub limits: CellLimits,
    pub stdout: Bytes,
    /// Number of bytes omitted from the middle.
    pub stdout_left_out: u64,
    pub stderr: Bytes,
    pub stderr_left_out: u64,
    pub images: Vec<Image>,
    pub files: Vec<OutputFile>,
    /// Reserves the memory of the output while it exists.
    pub share: Arc<Share>,
}
