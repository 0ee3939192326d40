//! What an interaction is: its steps, the turns it goes through, and the log of what happened.
//!
//! Pure. Nothing in here waits, reads a clock, or knows that HTTP, a disk or a sandbox exists.
//!
//! ```text
//!            ┌──────────── code ran ────────────┐
//!            ▼                                  │
//!   AwaitingModel ── the model writes code ──▶ AwaitingCode
//!            │
//!            └── the model ends its turn ──▶ Finished (completed · requires_action · incomplete)
//! ```

mod cite;
mod event;
pub mod media;
mod passthrough;
mod step;
mod turn;
pub mod usage;

pub use cite::{Sources, citations};
pub use event::{
    Delta, Event, Failure, FailureDelivery, FailureKind, InteractionSettings, Projection, Reason,
    ServiceTier, Status, StepStart, Summaries,
};
pub use passthrough::PassthroughStep;
pub use step::{
    Citation, CodeCall, CodeResult, Content, Found, FunctionCall, FunctionResult, Media, MediaKind,
    Outcome, SearchCall, SearchResult, Source, Step,
};
pub use turn::{AwaitingCode, AwaitingModel, Finished, Limits, Turn};
pub use usage::{Modality, Tally, Tokens, Usage};
