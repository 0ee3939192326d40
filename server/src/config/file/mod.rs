//! The configuration file, in TOML.

mod schema;

use std::collections::BTreeSet;
use std::path::Path;

use super::settings::Given;
use super::{ConfigError, FormerName, names, renamed};

pub use schema::{FileValue, schema};

#[derive(Debug, Default)]
pub struct ConfigFile {
    pub given: Given,
    /// The settings that the file contains.
    pub names: BTreeSet<String>,
    /// Keys that the file has under former names.
    pub former_names: BTreeSet<FormerName>,
}

impl ConfigFile {
    pub fn read(path: &Path) -> Result<ConfigFile, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let mistake = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            why: place(&text, &error),
        };
        let given = toml::from_str(&text).map_err(mistake)?;
        let table: toml::Table = toml::from_str(&text).map_err(mistake)?;
        let names = table.keys().map(|key| renamed::new_name(key).to_owned()).collect();
        Ok(ConfigFile { given, names, former_names: renamed::keys(&table) })
    }
}

/// The position and the error, without the line itself, which may contain keys.
fn place(text: &str, error: &toml::de::Error) -> String {
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return with_nearest(error.message(), &[]);
    };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    format!("line {line}, column {column}: {}", with_nearest(error.message(), &[]))
}

/// Replaces the list of known names by the nearest one of them and of `others`.
pub fn with_nearest(message: &str, others: &[&str]) -> String {
    let nearest = || {
        let (before, after) = message.split_once('`')?;
        let before = before.strip_prefix("unknown ")?.trim_end();
        let (written, known) = after.split_once('`')?;
        let known = known.split('`').skip(1).step_by(2).chain(others.iter().copied());
        let meant = names::nearest(written, known)?;
        Some(format!("unknown {before} `{written}`: did you mean `{meant}`?"))
    };
    nearest().unwrap_or_else(|| message.to_owned())
}
