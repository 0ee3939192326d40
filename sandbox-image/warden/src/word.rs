//! The one byte that the runner says at the end of a run: the code's own word, since they share an
//! interpreter. It chooses between words of ours, and moves nothing else.

use protocol::{CellLimits, Limit, Outcome};

use crate::disk::Room;

/// What the code says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Ended,
    /// An exception reached the top.
    Raised(Option<Cause>),
}

/// What an exception was about, where it came of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Memory,
    /// A process or a thread could not be started.
    Threads,
    OpenFiles,
    /// A single file.
    FileBytes,
    /// No space is left: for bytes, or for another file.
    Disk,
}

impl Word {
    /// As `runner.py` writes it. Any byte that it never writes is an exception.
    pub fn read(byte: u8) -> Word {
        Word::Raised(match byte {
            0 => return Word::Ended,
            2 => Some(Cause::Memory),
            3 => Some(Cause::Threads),
            4 => Some(Cause::OpenFiles),
            5 => Some(Cause::FileBytes),
            6 => Some(Cause::Disk),
            _ => None,
        })
    }

    /// With the number of the limit, as we know it, and the disk, as we see it.
    /// `too_many` says whether the cell has more processes than it may have.
    pub fn outcome(
        self,
        limits: &CellLimits,
        too_many: bool,
        room: impl FnOnce() -> Option<Room>,
    ) -> Outcome {
        let limit = match self {
            Word::Ended => return Outcome::Ok,
            Word::Raised(None) => None,
            Word::Raised(Some(Cause::Memory)) => Some(Limit::MemoryBytes(limits.memory_bytes)),
            // The kernel counts threads. Where there are too many processes they are the cause.
            Word::Raised(Some(Cause::Threads)) if too_many => {
                Some(Limit::Processes(limits.processes))
            }
            Word::Raised(Some(Cause::Threads)) => Some(Limit::Threads(limits.threads)),
            Word::Raised(Some(Cause::OpenFiles)) => Some(Limit::OpenFiles(limits.open_files)),
            Word::Raised(Some(Cause::FileBytes)) => Some(Limit::DiskBytes(limits.scratch_bytes)),
            Word::Raised(Some(Cause::Disk)) => Some(match room() {
                Some(Room { free_files: 0, .. }) => Limit::DiskFiles(limits.scratch_files),
                _ => Limit::DiskBytes(limits.scratch_bytes),
            }),
        };
        Outcome::Raised { limit }
    }
}
