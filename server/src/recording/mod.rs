//! Recordings: what was asked and what a model said, as a scenario file a person can read and edit,
//! one for each interaction.
//!
//! ```text
//!   backend ──words──▶ tape ◀──results── engine
//!                        │
//!                        ▼ at the end
//!   redact ──▶ question · script ──▶ keeper ──▶ a file of its own, whole or not there
//! ```
//!
//! A question is all that the model was given. Its hash names the file and tells questions apart; of
//! one that was asked several times each answer is a take.
//!
//! Scenarios are said again by the scripted model, and `belljar verify` runs their code anew. When
//! each thing was said stands above it as a comment: whoever replays does not want to wait as long
//! as whoever recorded, and a `delay` or a `pace` is quickly written where somebody does.

mod keeper;
mod patterns;
mod pictures;
mod question;
mod redact;
mod script;
mod shelf;
mod tape;

pub use keeper::{Keeper, KeeperError, MAX_GIVEN_BYTES, Whole};
pub use pictures::same_picture;
pub use redact::{REDACTED, Secrets};
#[cfg(test)]
pub use script::tests::prompt as prompt_for_tests;
pub use script::{Picture, map_at};
pub use shelf::RecordMode;
pub use tape::{Tape, broke_off};
