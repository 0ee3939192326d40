//! The JSON of cached contents, and their use in requests.
//!
//! ```text
//!   create ──▶ checked JSON ──▶ store ──▶ CachedPrefix ──▶ before the contents of a request
//! ```

pub mod answer;
pub mod openapi;
pub mod request;
pub mod resolve;
