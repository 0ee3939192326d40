//! The `[search]` table and its short form.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, SearchConfig};
use crate::search::FolderLimits;

/// Default and maximum number of results of a query.
const RESULTS: usize = 5;
const MAX_RESULTS: usize = 20;
/// Timeout of a query to a search engine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Limits of a searched folder.
const LIMITS: FolderLimits = FolderLimits { files: 10_000, file_bytes: 10 << 20, bytes: 128 << 20 };
/// Base URL of documents that have no public address.
const DOCUMENTS: &str = "document:///";

/// The `[search]` table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    provider: String,
    folder: Option<PathBuf>,
    /// URL of the search engine, or public base URL of the folder's documents.
    base_url: Option<String>,
    results: Option<usize>,
    #[serde(default, deserialize_with = "super::units::in_file::duration", alias = "within")]
    timeout: Option<Duration>,
    max_files: Option<usize>,
    #[serde(default, deserialize_with = "super::units::in_file::bytes")]
    max_file_bytes: Option<u64>,
    #[serde(default, deserialize_with = "super::units::in_file::bytes")]
    max_bytes: Option<u64>,
}

/// The option or variable, else the table. A URL means a search engine, `off` disables search, and
/// any other text is a folder.
pub fn setting(
    short: Option<String>,
    table: Option<Table>,
) -> Result<Option<SearchConfig>, ConfigError> {
    let table = match short {
        Some(off) if off == "off" => return Ok(None),
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            Table { provider: "searxng".into(), base_url: Some(url), ..Table::default() }
        }
        Some(folder) => {
            Table { provider: "folder".into(), folder: Some(folder.into()), ..Table::default() }
        }
        None => match table {
            Some(table) => table,
            None => return Ok(None),
        },
    };
    table.setting().map(Some).map_err(ConfigError::Search)
}

impl Table {
    fn setting(self) -> Result<SearchConfig, String> {
        let results = self.results.unwrap_or(RESULTS);
        if !(1..=MAX_RESULTS).contains(&results) {
            return Err(format!("invalid results {results}: expected 1 to {MAX_RESULTS}"));
        }
        match self.provider.as_str() {
            "folder" => Ok(SearchConfig::Folder {
                folder: self.folder.ok_or("missing folder: the path of the documents")?,
                base_url: self.base_url.unwrap_or_else(|| DOCUMENTS.to_owned()),
                results,
                limits: FolderLimits {
                    files: self.max_files.unwrap_or(LIMITS.files),
                    file_bytes: self.max_file_bytes.unwrap_or(LIMITS.file_bytes),
                    bytes: self.max_bytes.unwrap_or(LIMITS.bytes),
                },
            }),
            "searxng" => Ok(SearchConfig::Searxng {
                base_url: self.base_url.ok_or("missing base_url: the URL of SearXNG")?,
                timeout: self.timeout.unwrap_or(TIMEOUT),
                results,
            }),
            other => Err(format!("unknown provider {other}: expected folder or searxng")),
        }
    }
}
