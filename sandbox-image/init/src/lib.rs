//! What the warden may ask a cell's init for.

/// One byte, in a message of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// Stop every other process of the cell. Answered by the same byte once that is done, and by
    /// [`REFUSED`] where it cannot be.
    Stop = b's',
    /// Let them go on. Not answered.
    GoOn = b'g',
}

/// The answer to what cannot be done, or is no order.
pub const REFUSED: u8 = b'-';
