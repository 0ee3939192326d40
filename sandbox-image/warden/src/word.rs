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
    Processes,
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
            3 => Some(Cause::Processes),
            4 => Some(Cause::OpenFiles),
            5 => Some(Cause::FileBytes),
            6 => Some(Cause::Disk),
            _ => None,
        })
    }

    /// With the number of the limit, as we know it, and the disk, as we see it.
    pub fn outcome(self, limits: &CellLimits, room: impl FnOnce() -> Option<Room>) -> Outcome {
        let limit = match self {
            Word::Ended => return Outcome::Ok,
            Word::Raised(None) => None,
            Word::Raised(Some(Cause::Memory)) => Some(Limit::MemoryBytes(limits.memory_bytes)),
            Word::Raised(Some(Cause::Processes)) => Some(Limit::Processes(limits.processes)),
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
