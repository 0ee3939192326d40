//! The messages between server and warden: each request with its reply.
//!
//! One connection is one cell. The warden replies to the server's requests in order. When the
//! connection ends, for any reason, the cell is destroyed with all its contents.
//!
//! ```text
//! server                         warden
//!   Open ─────────────────────────▶        takes a standby
//!   PutFile input_file_0.csv ─────▶        writes it into the work directory
//!   Run ──────────────────────────▶        hands the code over, watches the clock
//!        ◀─────────── Opened, FilePut      (answers may arrive together)
//!        ◀──── LiveText, LiveImage          output as it comes, if the run is live
//!   Interrupt ────────────────────▶        raises KeyboardInterrupt in the code; has no reply
//!        ◀──── Stdout, Stderr, Image…      the run's output
//!        ◀─────────────────── Finished     how it ended, as observed from outside
//!   Run … (the same interpreter)
//!   ListFiles, ReadFile, … ───────▶        files of the work directory, between two runs
//! ```
//!
//! `Describe` may be sent on a connection of its own, before any `Open`.

mod frame;
mod limit;
mod message;
mod pool;

pub use frame::{FrameError, FrameReader, MAX_BLOB_BYTES, MAX_HEADER_BYTES, read, write};
pub use limit::{CellLimits, Limit, size};
pub use message::{
    Description, FileEntry, ImageForm, Layer, LibraryImage, MAX_INPUT_FILES, MAX_LISTED_FILES,
    Refusal, ResourceUsage, RunOutcome, RunResult, TextStream, Tier, WardenReply, WardenRequest,
};
pub use pool::{KitReport, PoolReport, ZygoteReport};
