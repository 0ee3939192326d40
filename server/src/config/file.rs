//! The file, in TOML.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::Tier;
use serde::{Deserialize, Deserializer};

use super::models::Table;
use super::{ConfigError, flags, search};
use crate::fault::Fault;
use crate::recording::RecordMode;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub listen: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
    pub scenarios: Option<PathBuf>,
    pub no_auth: Option<bool>,
    pub record: Option<PathBuf>,
    #[serde(default, deserialize_with = "record_mode")]
    pub record_mode: Option<RecordMode>,
    pub record_ignore: Option<Vec<String>>,
    pub record_from_anywhere: Option<bool>,
    #[serde(default, deserialize_with = "keys")]
    pub api_keys: Option<Vec<String>>,
    pub sandbox_socket: Option<PathBuf>,
    pub warden: Option<PathBuf>,
    pub libraries: Option<PathBuf>,
    pub min_isolation: Option<Tier>,
    #[serde(default, deserialize_with = "seconds")]
    pub run_seconds: Option<f64>,
    pub seed: Option<u64>,
    pub regenerations: Option<u32>,
    pub model_turns: Option<u32>,
    pub request_bytes: Option<usize>,
    pub file_bytes: Option<u64>,
    pub files_bytes: Option<u64>,
    pub fetch_from: Option<Vec<String>>,
    #[serde(default, deserialize_with = "duration")]
    pub file_lifetime: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub stalled_after: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub retention: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    pub shutdown_grace: Option<Duration>,
    pub search: Option<search::Table>,
    #[serde(default)]
    pub fault: Vec<Fault>,
    #[serde(default)]
    pub model: Vec<Table>,
}

impl std::fmt::Debug for File {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("listen", &self.listen).finish_non_exhaustive()
    }
}

impl File {
    pub fn read(path: &Path) -> Result<File, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let mistake = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            why: place(&text, &error),
        };
        toml::from_str(&text).map_err(mistake)
    }
}

/// What is wrong and where, without the line itself: it could be the one with the keys.
fn place(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return error.message().to_owned();
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    format!("line {line}, column {column}: {}", error.message())
}

/// A list of texts. What stands there instead is not repeated: it may be a key.
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

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let seconds = f64::deserialize(from)?;
    flags::seconds(&seconds.to_string()).map(Some).map_err(serde::de::Error::custom)
}

pub fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    flags::duration(&text).map(Some).map_err(serde::de::Error::custom)
}

fn record_mode<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RecordMode>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(serde::de::Error::custom)
}
