//! The kinds of backends. Each is a value that its module exports; [`KINDS`] lists them.
//!
//! A `[[model]]` table of the configuration names a kind and has the kind's keys.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use backend::Backend;
use resources::budget::Budget;
use scenario::{AddedScenarios, BrokenScenarios, Scripted};

use super::upstream::{self, Address};
use super::{direct, gemini, openai, replay, scripted};

/// All kinds. The models of those that need no table are listed in this order.
pub const KINDS: [&BackendKind; 5] =
    [&direct::KIND, &scripted::KIND, &openai::KIND, &gemini::KIND, &replay::KIND];

#[derive(Debug)]
pub struct BackendKind {
    /// Value of `backend` in a `[[model]]` table.
    pub name: &'static str,
    /// Pattern of the models that it answers for without a table.
    pub without_table: Option<&'static str>,
    /// Reads the keys that only this kind has. [`read`] rejects unknown ones.
    pub configure: fn(toml::Table, Variables<'_>) -> Result<Arc<dyn BackendConfig>, String>,
}

/// The environment, which has the keys of other servers.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// A configured backend that is not built yet.
pub trait BackendConfig: fmt::Debug + Send + Sync {
    /// The text in the output of `belljar config`, without secrets.
    fn shown(&self) -> String;

    /// The server that it asks. Recordings are written without its key.
    fn address(&self) -> Option<&Address> {
        None
    }

    /// The folder whose recordings answer.
    fn replayed(&self) -> Option<&Path> {
        None
    }

    fn build(&self, shared: &SharedParts) -> anyhow::Result<Arc<dyn Backend>>;
}

/// What the backends of a server share.
#[derive(Debug)]
pub struct SharedParts {
    /// The scenarios of the server.
    pub scripted: Arc<Scripted>,
    /// Scenarios that clients add.
    pub additions: Arc<AddedScenarios>,
    /// Memory for what model servers send.
    pub received: Budget,
}

impl SharedParts {
    /// Reads the folder of scenarios, if there is one.
    pub fn load(
        scenarios: Option<&Path>,
        additions: Arc<AddedScenarios>,
    ) -> Result<SharedParts, BrokenScenarios> {
        let scripted = match scenarios {
            Some(folder) => Scripted::load(folder).map_err(BrokenScenarios::of(folder))?,
            None => Scripted::from_scenarios(Vec::new()),
        };
        let scripted = Arc::new(scripted.with_additions(Arc::clone(&additions)));
        Ok(SharedParts { scripted, additions, received: upstream::budget() })
    }
}

/// Reads the keys of a kind. The error names the key.
pub fn read<T: DeserializeOwned>(keys: toml::Table) -> Result<T, String> {
    keys.try_into().map_err(|error: toml::de::Error| {
        // Without a text, the error ends with a line that has the key.
        let text = error.to_string();
        match text.trim_end().rsplit_once("\nin `") {
            Some((why, key)) => format!("invalid {}: {why}", key.trim_end_matches('`')),
            None => text.trim_end().to_owned(),
        }
    })
}

/// Rejects all keys, for a kind that has none.
pub fn read_none(keys: &toml::Table) -> Result<(), String> {
    match keys.keys().next() {
        None => Ok(()),
        Some(key) => Err(format!("unknown field `{key}`: this backend has no keys of its own")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_name_and_rejects_keys_of_others() {
        let names: std::collections::BTreeSet<_> = KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), KINDS.len());
        for kind in KINDS {
            let keys = toml::Table::from_iter([("colour".to_owned(), toml::Value::from("red"))]);
            let error = (kind.configure)(keys, &|_| None).expect_err("no kind has this key");
            assert!(error.starts_with("unknown field `colour`"), "{}: {error}", kind.name);
        }
    }

    #[test]
    fn kinds_that_need_no_table_need_no_keys() {
        for kind in KINDS.iter().filter(|kind| kind.without_table.is_some()) {
            let config = (kind.configure)(toml::Table::new(), &|_| None);
            assert_eq!(config.expect("it needs no keys").shown(), kind.name);
        }
    }
}
