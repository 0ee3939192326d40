//! The commands that the warden sends to a cell's init.

/// One byte, sent in a message of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum InitCommand {
    /// Stop every other process of the cell. Answered by the same byte once that is done, or by
    /// [`REFUSED`] if it is impossible.
    Stop = b's',
    /// Let them continue. Not answered.
    Continue = b'g',
}

/// The answer to a command that failed or is unknown.
pub const REFUSED: u8 = b'-';
