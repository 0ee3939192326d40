//! The `[search]` table and its short form.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{ConfigError, SearchConfig};
use parse::units::{ByteSize, TimeSpan};
use search::FolderLimits;

/// Default and maximum number of results of a query.
const RESULTS: usize = 5;
const MAX_RESULTS: usize = 20;
/// Timeout of a query to a search engine.
const TIMEOUT: TimeSpan = TimeSpan::seconds(10);
/// Limits of a searched folder.
const LIMITS: FolderLimits = FolderLimits { files: 10_000, file_bytes: 10 << 20, bytes: 128 << 20 };
/// Base URL of documents that have no public address.
const DOCUMENTS: &str = "document:///";

/// The `[search]` table.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchTable {
    provider: String,
    folder: Option<PathBuf>,
    /// URL of the search engine, or public base URL of the folder's documents.
    base_url: Option<String>,
    results: Option<usize>,
    #[serde(alias = "within")]
    timeout: Option<TimeSpan>,
    max_files: Option<usize>,
    max_file_bytes: Option<ByteSize>,
    max_bytes: Option<ByteSize>,
}

/// The value of the setting.
#[derive(Debug, Clone)]
pub enum Setting {
    /// Of the option or the variable: a URL means a search engine, `off` disables search, and any
    /// other text is a folder.
    Short(String),
    /// Of the configuration file.
    Table(SearchTable),
}

impl FromStr for Setting {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Setting, Infallible> {
        Ok(Setting::Short(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Setting, D::Error> {
        SearchTable::deserialize(from).map(Setting::Table)
    }
}

impl Setting {
    /// `None` disables search.
    pub fn config(self) -> Result<Option<SearchConfig>, ConfigError> {
        let table = match self {
            Setting::Short(off) if off == "off" => return Ok(None),
            Setting::Short(url) if url.starts_with("http://") || url.starts_with("https://") => {
                SearchTable {
                    provider: "searxng".into(),
                    base_url: Some(url),
                    ..SearchTable::default()
                }
            }
            Setting::Short(folder) => SearchTable {
                provider: "folder".into(),
                folder: Some(folder.into()),
                ..SearchTable::default()
            },
            Setting::Table(table) => table,
        };
        table.config().map(Some).map_err(ConfigError::Search)
    }
}

impl SearchTable {
    fn config(self) -> Result<SearchConfig, String> {
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
                    file_bytes: self.max_file_bytes.map_or(LIMITS.file_bytes, |size| size.0),
                    bytes: self.max_bytes.map_or(LIMITS.bytes, |size| size.0),
                },
            }),
            "searxng" => Ok(SearchConfig::Searxng {
                base_url: self.base_url.ok_or("missing base_url: the URL of SearXNG")?,
                timeout: self.timeout.unwrap_or(TIMEOUT).0,
                results,
            }),
            other => Err(format!("unknown provider {other}: expected folder or searxng")),
        }
    }
}
