//! Former names of settings. They are accepted for one version; each use is a warning in the log.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::definition::{option_of, variable_of};
use super::settings::DEFINITIONS;

/// The former and the new name of each renamed setting, as in the configuration file.
fn renamed() -> impl Iterator<Item = (&'static str, &'static str)> {
    DEFINITIONS.iter().filter_map(|setting| Some((setting.former_name?, setting.name)))
}

/// The same for an option that is not a setting.
const RENAMED_OPTION: (&str, &str) = ("client_within", "client_timeout");

/// The same for keys in the tables of the configuration file.
const RENAMED_KEYS: [(&str, &str, &str); 2] =
    [("model", "silence", "idle_timeout"), ("search", "within", "timeout")];

/// A setting that was given under its former name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormerName {
    pub former: String,
    pub new: String,
}

impl FormerName {
    fn new(former: impl Into<String>, new: impl Into<String>) -> FormerName {
        FormerName { former: former.into(), new: new.into() }
    }
}

/// Replaces former names of options by the new ones, up to `--`.
pub fn arguments(
    arguments: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, BTreeSet<FormerName>) {
    let mut found = BTreeSet::new();
    let mut is_over = false;
    let replaced = |argument: OsString| {
        is_over |= argument == "--";
        let Some(text) = argument.to_str().filter(|text| !is_over && text.starts_with("--")) else {
            return argument;
        };
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        let Some((former, new)) = renamed()
            .chain([RENAMED_OPTION])
            .map(|(former, new)| (option_of(former), option_of(new)))
            .find(|(former, _)| former == name)
        else {
            return argument;
        };
        let replaced = match value {
            Some(value) => format!("{new}={value}"),
            None => new.clone(),
        };
        found.insert(FormerName::new(former, new));
        replaced.into()
    };
    let arguments = arguments.into_iter().map(replaced).collect();
    (arguments, found)
}

/// The former name of a setting, if it has one.
pub fn former_name(setting: &str) -> Option<&'static str> {
    renamed().find(|(_, new)| *new == setting).map(|(former, _)| former)
}

/// Whether this is the former name of a variable.
pub fn is_former_variable(name: &str) -> bool {
    renamed().any(|(former, _)| variable_of(former) == name)
}

/// The variables that are set under their former names.
pub fn variables(variable: impl Fn(&str) -> Option<String>) -> BTreeSet<FormerName> {
    let named = renamed().map(|(former, new)| (variable_of(former), variable_of(new)));
    let set = named.filter(|(former, _)| variable(former).is_some_and(|value| !value.is_empty()));
    set.map(|(former, new)| FormerName::new(former, new)).collect()
}

/// The keys of a configuration file with former names.
pub fn keys(file: &toml::Table) -> BTreeSet<FormerName> {
    let mut found: BTreeSet<_> = renamed()
        .filter(|(former, _)| file.contains_key(*former))
        .map(|(former, new)| FormerName::new(former, new))
        .collect();
    for (table, former, new) in RENAMED_KEYS {
        let has_former = match file.get(table) {
            Some(toml::Value::Table(table)) => table.contains_key(former),
            Some(toml::Value::Array(tables)) => {
                tables.iter().any(|table| table.get(former).is_some())
            }
            _ => false,
        };
        if has_former {
            found.insert(FormerName::new(format!("{table}.{former}"), format!("{table}.{new}")));
        }
    }
    found
}

/// The new name of a key of the configuration file.
pub fn new_name(key: &str) -> &str {
    renamed().find(|(former, _)| *former == key).map_or(key, |(_, new)| new)
}
