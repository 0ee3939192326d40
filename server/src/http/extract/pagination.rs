//! Pagination of lists.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use serde_json::{Value, json};

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

    /// A page as JSON: its items under `name`, unless there are none, and the token of the next page.
    /// `found` has one item more than the page if there is another page.
    pub fn of<T>(
        name: &str,
        found: &[T],
        size: usize,
        to_json: impl Fn(&T) -> Value,
        id: impl Fn(&T) -> &str,
    ) -> Value {
        let shown = &found[..found.len().min(size)];
        let mut body = json!({});
        if !shown.is_empty() {
            body[name] = shown.iter().map(to_json).collect();
        }
        if let (true, Some(last)) = (found.len() > size, shown.last()) {
            body["nextPageToken"] = Page::token(id(last)).into();
        }
        body
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
