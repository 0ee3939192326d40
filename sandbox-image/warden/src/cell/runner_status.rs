//! The status byte that the runner sends at the end of a run. The code can forge it, because both share an
//! interpreter, so it only selects one of the fixed outcomes.

use protocol::{CellLimits, Limit, RunOutcome};

use crate::meter::disk::DiskSpace;

/// How the code ended, according to the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunnerStatus {
    Ended,
    /// An exception reached the top.
    Raised(Option<Cause>),
}

/// The limit that caused an exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Memory,
    /// A process or a thread could not be started.
    Threads,
    OpenFiles,
    /// The size of a single file.
    FileBytes,
    /// No space is left for bytes, or for another file.
    Disk,
}

impl RunnerStatus {
    /// Decodes the byte that `runner.py` writes. Unknown bytes are an exception.
    pub fn from_byte(byte: u8) -> RunnerStatus {
        RunnerStatus::Raised(match byte {
            0 => return RunnerStatus::Ended,
            2 => Some(Cause::Memory),
            3 => Some(Cause::Threads),
            4 => Some(Cause::OpenFiles),
            5 => Some(Cause::FileBytes),
            6 => Some(Cause::Disk),
            _ => None,
        })
    }

    /// The outcome, with the value of the limit. `too_many` is whether the cell exceeds its limit on
    /// processes; `room` measures the disk.
    pub fn outcome(
        self,
        limits: &CellLimits,
        too_many: bool,
        space: impl FnOnce() -> Option<DiskSpace>,
    ) -> RunOutcome {
        let limit = match self {
            RunnerStatus::Ended => return RunOutcome::Ok,
            RunnerStatus::Raised(None) => None,
            RunnerStatus::Raised(Some(Cause::Memory)) => {
                Some(Limit::MemoryBytes(limits.memory_bytes))
            }
            // The kernel limits threads. If there are too many processes, they are the cause.
            RunnerStatus::Raised(Some(Cause::Threads)) if too_many => {
                Some(Limit::Processes(limits.processes))
            }
            RunnerStatus::Raised(Some(Cause::Threads)) => Some(Limit::Threads(limits.threads)),
            RunnerStatus::Raised(Some(Cause::OpenFiles)) => {
                Some(Limit::OpenFiles(limits.open_files))
            }
            RunnerStatus::Raised(Some(Cause::FileBytes)) => {
                Some(Limit::DiskBytes(limits.scratch_bytes))
            }
            RunnerStatus::Raised(Some(Cause::Disk)) => Some(match space() {
                Some(DiskSpace { free_files: 0, .. }) => Limit::DiskFiles(limits.scratch_files),
                _ => Limit::DiskBytes(limits.scratch_bytes),
            }),
        };
        RunOutcome::Raised { limit }
    }
}
