//! Test controls: routes and a header with which tests inspect the server and inject faults. By
//! default they are on if the server has no API keys.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::http::error::{ApiError, Code};

const OFF: &str = "The test controls of this server are disabled: /x/journal, /x/reset, \
                   /x/faults, /x/scenarios and the header x-belljar-fault. --control enables \
                   them, as do BELLJAR_CONTROL=true and control = true in the configuration.";

/// Whether the test controls are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    On,
    Off,
}

impl Control {
    /// The default if the configuration does not set it.
    pub fn default_with(has_keys: bool) -> Control {
        if has_keys { Control::Off } else { Control::On }
    }

    /// The error for a request to a control if they are off.
    pub fn allowed(self) -> Result<(), ApiError> {
        match self {
            Control::On => Ok(()),
            Control::Off => Err(ApiError::new(Code::NotFound, OFF)),
        }
    }
}

impl From<bool> for Control {
    fn from(on: bool) -> Control {
        if on { Control::On } else { Control::Off }
    }
}

/// Rejects requests to the controls if they are off.
pub async fn check(State(control): State<Control>, request: Request, next: Next) -> Response {
    match control.allowed() {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}
