//! Errors while privileges are given up: the step, its object and the kernel's error.

use std::fmt;

/// `mounting /workspace: EPERM: Operation not permitted`
#[derive(Debug)]
pub struct JailError {
    doing: &'static str,
    what: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl JailError {
    pub(crate) fn new(
        doing: &'static str,
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> JailError {
        JailError { doing, what: what.into(), source: source.into() }
    }
}

impl fmt::Display for JailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.doing, self.what, self.source)
    }
}

// `Display` includes the cause, so `source` does not return it again.
impl std::error::Error for JailError {}

/// Adds the step that failed to an error.
pub(crate) trait Context<T> {
    fn doing(self, doing: &'static str, what: impl Into<String>) -> Result<T, JailError>;
}

impl<T, E> Context<T> for Result<T, E>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn doing(self, doing: &'static str, what: impl Into<String>) -> Result<T, JailError> {
        self.map_err(|error| JailError::new(doing, what, error))
    }
}
