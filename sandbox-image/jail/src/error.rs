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

// Its cause is in its own words, and is not told a second time as its source.
impl std::error::Error for JailError {}

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
