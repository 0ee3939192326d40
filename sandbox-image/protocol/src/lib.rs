//! What server and warden say to each other: each message with its reply.
//!
//! One connection is one cell. The server asks, the warden answers in order; when the connection
//! ends, for whatever reason, the cell dies with all that is in it.
//!
//! ```text
//! server                         warden
//!   Open ─────────────────────────▶        takes a standby
//!   PutFile input_file_0.csv ─────▶        writes it into the work directory
//!   Run ──────────────────────────▶        hands the code over, watches the clock
//!        ◀─────────── Opened, FilePut      (answers may arrive together)
//!        ◀──── Stdout, Stderr, Image…      what the run left
//!        ◀─────────────────── Finished     how it ended, as seen from outside
//!   Run … (the same interpreter)
//! ```
//!
//! `Describe` may be asked on a connection of its own, before any `Open`.

mod frame;
mod message;

pub use frame::{FrameError, MAX_BLOB_BYTES, MAX_HEADER_BYTES, read, write};
pub use message::{
    CellLimits, Description, Finished, Layer, Limit, MAX_INPUT_FILES, Outcome, Refusal, Reply,
    Request, Tier, Usage,
};
