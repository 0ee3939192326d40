//! Pagination of lists.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::error::ApiError;

/// The requested part of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `None` if the client leaves it to the server.
    pub size: Option<usize>,
    /// The name after which the page begins.
    pub after: Option<String>,
}

impl Page {
    /// The page size, limited to the maximum.
    pub fn size(&self, default: usize, most: usize) -> usize {
        self.size.unwrap_or(default).clamp(1, most)
    }

    /// The token of the page after the one that ends with this name.
    pub fn token(last: &str) -> String {
        URL_SAFE_NO_PAD.encode(last)
    }

    pub fn read(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let wrong = |why: &str| ApiError::invalid(format!("Invalid value for '{name}': {why}."));
        match name {
            "pageSize" | "page_size" => {
                let size = value.parse().map_err(|_| wrong("not a page size"))?;
                // Protobuf's zero means "not set".
                self.size = Some(size).filter(|size| *size > 0);
            }
            _ if value.is_empty() => self.after = None,
            _ => {
                let bytes = URL_SAFE_NO_PAD.decode(value).ok();
                let after = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                self.after = Some(after.ok_or_else(|| wrong("not a page token of this server"))?);
            }
        }
        Ok(())
    }
}
