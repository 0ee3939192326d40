//! What a run of code leaves behind, beside its text.

use bytes::Bytes;

/// An image that a run displayed or saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub mime_type: String,
    pub data: Bytes,
}

/// A file that a run created or changed.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputFile {
    /// Relative to the work directory.
    pub path: String,
    pub content: Bytes,
}
