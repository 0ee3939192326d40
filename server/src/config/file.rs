//! The configuration file, in TOML.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Tier;
use serde::{Deserialize, Deserializer};

use super::flags::LogFormat;
use super::models::Table;
use super::renamed::{self, FormerName};
use super::{ConfigError, names, search, units};
use crate::chaos::fault::Fault;
use crate::listen::ListenAddress;
use crate::recording::RecordMode;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub listen: Option<ListenAddress>,
    pub data_dir: Option<PathBuf>,
    pub ephemeral: Option<bool>,
    pub scenarios: Option<PathBuf>,
    pub no_auth: Option<bool>,
    pub shared_keys: Option<bool>,
    pub control: Option<bool>,
    pub hosts: Option<Vec<String>>,
    pub record: Option<PathBuf>,
    #[serde(default, deserialize_with = "record_mode")]
    pub record_mode: Option<RecordMode>,
    pub record_ignore: Option<Vec<String>>,
    #[serde(alias = "record_from_anywhere")]
    pub record_remote_clients: Option<bool>,
    #[serde(default, deserialize_with = "keys")]
    pub api_keys: Option<Vec<String>>,
    pub sandbox_socket: Option<PathBuf>,
    pub warden: Option<PathBuf>,
    pub libraries: Option<PathBuf>,
    pub min_isolation: Option<Tier>,
    #[serde(default, deserialize_with = "units::in_file::seconds", alias = "run_seconds")]
    pub run_timeout: Option<f64>,
    pub seed: Option<u64>,
    #[serde(alias = "regenerations")]
    pub max_code_retries: Option<u32>,
    #[serde(alias = "model_turns")]
    pub max_model_turns: Option<u32>,
    #[serde(default, deserialize_with = "units::in_file::bytes_in_memory")]
    pub request_bytes: Option<usize>,
    #[serde(default, deserialize_with = "units::in_file::bytes", alias = "file_bytes")]
    pub max_upload_bytes: Option<u64>,
    #[serde(default, deserialize_with = "units::in_file::bytes", alias = "files_bytes")]
    pub max_total_upload_bytes: Option<u64>,
    pub fetch_from: Option<Vec<String>>,
    #[serde(default, deserialize_with = "units::in_file::duration")]
    pub file_lifetime: Option<Duration>,
    #[serde(default, deserialize_with = "units::in_file::duration", alias = "stalled_after")]
    pub write_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "units::in_file::duration")]
    pub retention: Option<Duration>,
    #[serde(default, deserialize_with = "units::in_file::duration")]
    pub shutdown_grace: Option<Duration>,
    pub log_format: Option<LogFormat>,
    pub search: Option<search::Table>,
    #[serde(default)]
    pub fault: Vec<Fault>,
    #[serde(default)]
    pub model: Vec<Table>,
    /// Keys that the file has under former names.
    #[serde(skip)]
    pub former_names: BTreeSet<FormerName>,
}

impl std::fmt::Debug for File {
    /// Omits the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl File {
    fn text(path: &Path) -> Result<String, ConfigError> {
        std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })
    }

    /// The settings that the file contains.
    pub fn keys(path: &Path) -> Result<BTreeSet<String>, ConfigError> {
        let table: toml::Table = toml::from_str(&File::text(path)?).unwrap_or_default();
        Ok(table.into_iter().map(|(key, _)| renamed::new_name(key)).collect())
    }

    pub fn read(path: &Path) -> Result<File, ConfigError> {
        let text = File::text(path)?;
        let mistake = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            why: place(&text, &error),
        };
        let file: File = toml::from_str(&text).map_err(mistake)?;
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        Ok(File { former_names: renamed::keys(&table), ..file })
    }
}

/// The position and the error, without the line itself, which may contain keys.
fn place(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return with_nearest(error.message());
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    format!("line {line}, column {column}: {}", with_nearest(error.message()))
}

/// Replaces the list of known names by the nearest one.
fn with_nearest(message: &str) -> String {
    let nearest = || {
        let (before, after) = message.split_once('`')?;
        let before = before.strip_prefix("unknown ")?.trim_end();
        let (written, known) = after.split_once('`')?;
        let known = known.split('`').skip(1).step_by(2);
        let meant = names::nearest(written, known)?;
        Some(format!("unknown {before} `{written}`: did you mean `{meant}`?"))
    };
    nearest().unwrap_or_else(|| message.to_owned())
}

/// A list of strings. Errors do not repeat the value, which may be a key.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let keys = match toml::Value::deserialize(from)? {
        toml::Value::Array(keys) => keys.into_iter().map(|key| match key {
            toml::Value::String(key) => Some(key),
            _ => None,
        }),
        _ => return Err(serde::de::Error::custom("api_keys must be a list of strings")),
    };
    let keys: Option<Vec<String>> = keys.collect();
    keys.map(Some).ok_or_else(|| serde::de::Error::custom("api_keys must be a list of strings"))
}

fn record_mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RecordMode>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(serde::de::Error::custom)
}
