//! Recordings: one scenario file per interaction, with the request and the model's output, that a
//! person can read and edit.
//!
//! ```text
//!   backend ──events──▶ session ◀──results── engine
//!                          │
//!                          ▼ at the end
//!   redact ──▶ question · script ──▶ writer ──▶ a file of its own, complete or absent
//! ```
//!
//! A question is all input of the model. Its hash names the file and identifies the question; each
//! answer to a question that was asked several times is a take.
//!
//! The scripted model replays recordings, and `belljar verify` runs their code again. The time of each
//! part stands above it as a comment rather than as a `delay` or a `pace`, because a replay should not
//! wait as long as the recorded model did.

#![forbid(unsafe_code)]

mod backend;
mod index;
mod pictures;
mod question;
mod script;
mod session;
mod writer;

pub use backend::RecordingBackend;
pub use index::RecordMode;
pub use pictures::same_picture;
pub use script::{Picture, map_at};
pub use session::{RecordingSession, broke_off};
pub use writer::{MAX_GIVEN_BYTES, RecordingError, RecordingMetadata, RecordingWriter};
