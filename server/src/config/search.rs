//! The `[search]` table, and what may stand in its place in short.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, SearchConfig};
use crate::search::FolderLimits;

/// Pages that a query gives, and the most that it can.
const RESULTS: usize = 5;
const MAX_RESULTS: usize = 20;
/// For each query to a search engine.
const WITHIN: Duration = Duration::from_secs(10);
/// What is searched of a folder.
const LIMITS: FolderLimits = FolderLimits { files: 10_000, file_bytes: 10 << 20, bytes: 128 << 20 };
/// The addresses of documents that can be read nowhere else.
const DOCUMENTS: &str = "document:///";

/// The table.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    provider: String,
    folder: Option<PathBuf>,
    /// Of the search engine; of a folder's documents, where they have one.
    base_url: Option<String>,
    results: Option<usize>,
    #[serde(default, deserialize_with = "super::units::in_file::duration")]
    within: Option<Duration>,
    max_files: Option<usize>,
    #[serde(default, deserialize_with = "super::units::in_file::bytes")]
    max_file_bytes: Option<u64>,
    #[serde(default, deserialize_with = "super::units::in_file::bytes")]
    max_bytes: Option<u64>,
}

/// What the flag or the variable says, or else the table. An address is a search engine's, and all
/// else a folder; `off` is neither.
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
            return Err(format!("results lies between 1 and {MAX_RESULTS}; {results} does not"));
        }
        match self.provider.as_str() {
            "folder" => Ok(SearchConfig::Folder {
                folder: self.folder.ok_or("folder is missing: where the documents are")?,
                base_url: self.base_url.unwrap_or_else(|| DOCUMENTS.to_owned()),
                results,
                limits: FolderLimits {
                    files: self.max_files.unwrap_or(LIMITS.files),
                    file_bytes: self.max_file_bytes.unwrap_or(LIMITS.file_bytes),
                    bytes: self.max_bytes.unwrap_or(LIMITS.bytes),
                },
            }),
            "searxng" => Ok(SearchConfig::Searxng {
                base_url: self.base_url.ok_or("base_url is missing: where the SearXNG is")?,
                within: self.within.unwrap_or(WITHIN),
                results,
            }),
            other => Err(format!("there is no provider {other}; there are folder and searxng")),
        }
    }
}
