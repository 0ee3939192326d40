//! What went wrong while giving up power: which step, on what, and what the kernel said.

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

impl std::error::Error for JailError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Says what was being done when a call failed.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, what: impl Into<String>) -> Result<T, JailError>;
}

impl<T, E> Doing<T> for Result<T, E>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn doing(self, doing: &'static str, what: impl Into<String>) -> Result<T, JailError> {
        self.map_err(|error| JailError::new(doing, what, error))
    }
}
