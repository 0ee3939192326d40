//! Schemas of the Interactions API for the OpenAPI document.

mod event;
mod input;
mod interaction;
mod request;
#[cfg(test)]
pub mod samples;
mod step;

pub use event::INTERACTION_EVENT;
pub use interaction::INTERACTION;
pub use request::{CREATE, VERTEX_CREATE};
