//! Test controls: routes and a header with which tests look at the server and make it fail. They are on
//! where there are no API keys, and off where there are some, unless the operator says otherwise.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::{ApiError, Code};

const OFF: &str = "The test controls of this server are switched off: /x/journal, /x/reset, \
                   /x/faults, /x/scenarios and the header x-belljar-fault. --control switches them \
                   on, as do BELLJAR_CONTROL=true and the line control = true.";

/// Whether there are test controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    On,
    Off,
}

impl Control {
    /// Where the operator says nothing.
    pub fn default_with(has_keys: bool) -> Control {
        if has_keys { Control::Off } else { Control::On }
    }

    /// What a request for a control is answered where there are none.
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

/// Lets a request for a control through where there are controls.
pub async fn check(State(control): State<Control>, request: Request, next: Next) -> Response {
    match control.allowed() {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}
