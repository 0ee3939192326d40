//! The `[[model]]` tables, which map models to backends.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::file::with_nearest;
use super::{ConfigError, ModelRule, names};
use crate::backends::kind::{BackendKind, KINDS, Variables};
use parse::glob;

/// The keys of all kinds of backends.
const COMMON_KEYS: [&str; 3] = ["name", "backend", "record"];

/// A `[[model]]` table.
#[derive(Clone, Deserialize)]
#[serde(try_from = "PartialTable")]
pub struct ModelTable {
    name: String,
    backend: String,
    record: Option<RecordWord>,
    /// The keys of this kind of backend.
    keys: toml::Table,
}

/// A table that may lack a key.
#[derive(Deserialize)]
struct PartialTable {
    name: Option<String>,
    backend: Option<String>,
    record: Option<RecordWord>,
    #[serde(flatten)]
    keys: toml::Table,
}

impl TryFrom<PartialTable> for ModelTable {
    type Error = String;

    fn try_from(table: PartialTable) -> Result<ModelTable, String> {
        let PartialTable { name, backend, record, keys } = table;
        let missing = |key: &str| match names::nearest(key, keys.keys().map(String::as_str)) {
            Some(written) => format!("unknown field `{written}`: did you mean `{key}`?"),
            None => format!("missing field `{key}`"),
        };
        let name = name.ok_or_else(|| missing("name"))?;
        let backend = backend.ok_or_else(|| missing("backend"))?;
        Ok(ModelTable { name, backend, record, keys })
    }
}

impl std::fmt::Debug for ModelTable {
    /// Omits the keys of the backend, which may contain a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}", self.name, self.backend)
    }
}

/// A folder, or `false` to exclude the model from recording.
#[derive(Clone)]
struct RecordWord(Option<PathBuf>);

impl<'de> Deserialize<'de> for RecordWord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RecordWord, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::Boolean(false) => Ok(RecordWord(None)),
            toml::Value::String(folder) => Ok(RecordWord(Some(folder.into()))),
            _ => Err(serde::de::Error::custom("record must be a folder or false")),
        }
    }
}

/// The rules of the file, followed by those of the backends that need no table.
///
/// `record` applies to every model that does not set its own.
pub fn rules(
    tables: Vec<ModelTable>,
    record: Option<&Path>,
    variables: Variables<'_>,
) -> Result<Vec<ModelRule>, ConfigError> {
    let without_table = KINDS.iter().filter_map(|kind| {
        let (name, backend) = (kind.without_table?.to_owned(), kind.name.to_owned());
        Some(ModelTable { name, backend, record: None, keys: toml::Table::new() })
    });
    tables.into_iter().chain(without_table).map(|table| table.rule(record, variables)).collect()
}

impl ModelTable {
    fn rule(
        self,
        record: Option<&Path>,
        variables: Variables<'_>,
    ) -> Result<ModelRule, ConfigError> {
        let ModelTable { name, backend, record: own, keys } = self;
        let wrong = |why: String| ConfigError::Model { name: name.clone(), why };
        glob::parse(&name).map_err(|error| wrong(error.to_string()))?;
        let kind = kind(&backend).map_err(wrong)?;
        let backend = (kind.configure)(keys, variables)
            .map_err(|why| wrong(with_nearest(&why, &COMMON_KEYS)))?;
        let record = own.map_or_else(|| record.map(Path::to_owned), |word| word.0);
        Ok(ModelRule { name, backend, record })
    }
}

fn kind(name: &str) -> Result<&'static BackendKind, String> {
    let found = KINDS.into_iter().find(|kind| kind.name == name);
    found.ok_or_else(|| {
        let [others @ .., last] = KINDS.map(|kind| kind.name);
        format!("unknown backend {name}: expected {} or {last}", others.join(", "))
    })
}
