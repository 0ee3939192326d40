//! The API that a route belongs to. The router sets it with the routes of each API.

use std::sync::{Arc, OnceLock};

/// An API, with its own form of errors and of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Surface {
    Interactions,
    /// `generateContent` and related methods, and files.
    GenerateContent,
    Uploads,
    /// The OpenAI-compatible API.
    OpenAi,
    /// The server's own routes, and paths without a route.
    #[default]
    Own,
}

/// The API of one request, an extension of it. The outermost layer creates it, and reads it after
/// the router has set it; that works for panics too.
#[derive(Debug, Clone, Default)]
pub struct SurfaceSlot(Arc<OnceLock<Surface>>);

impl SurfaceSlot {
    pub fn set(&self, surface: Surface) {
        // A request has one route.
        let _ = self.0.set(surface);
    }

    pub fn get(&self) -> Surface {
        self.0.get().copied().unwrap_or_default()
    }
}
