//! An interaction: its steps, its states, and the events of its log.
//!
//! This module is pure: it does not wait or read a clock, and does not depend on HTTP, a disk or a
//! sandbox.
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
mod generation_config;
pub mod media;
mod passthrough;
mod step;
mod tool;
mod turn;
pub mod usage;

pub use cite::{CitedPages, MAX_CITATION_BYTES, citations};
pub use event::{
    Delta, Event, Failure, FailureDelivery, FailureKind, InteractionSettings, Projection, Reason,
    ServiceTier, Status, StepStart, Summaries,
};
pub use generation_config::{GenerationConfig, ToolMode};
pub use passthrough::PassthroughStep;
pub use step::{
    Citation, CitedSource, CodeCall, CodeResult, Content, Found, FunctionCall, FunctionResult,
    Media, MediaKind, Outcome, SearchCall, SearchResult, Source, SourceKind, Step,
};
pub use tool::{
    FileExcerpt, MapPlace, RetrievalStatus, RetrievedUrl, ReviewSnippet, ServerTool, ToolRequest,
    ToolResult, ToolStep, ToolUse,
};
pub use turn::{AwaitingCode, AwaitingModel, Finished, Limits, Turn};
pub use usage::{Modality, Tokens, Usage, UsageEstimate};
