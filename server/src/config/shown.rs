//! `belljar config`: the effective settings and the source of each. Keys are not shown.

use std::fmt::Write as _;
use std::path::Path;

use super::definition::{Definition, option_of, variable_of};
use super::environment::Environment;
use super::settings::{DEFINITIONS, Given, TABLES};
use super::{Config, ConfigError, DataDir, SandboxConfig, SearchConfig, time_text};
use parse::url::without_password;

/// Lines that are not in the order of the definitions, and the setting that each is printed before.
const MOVED: [(&str, &str); 6] = [
    ("config", "listen"),
    ("retention", "file_lifetime"),
    ("model", "record_mode"),
    ("search", "sandbox_socket"),
    ("fault", "sandbox_socket"),
    ("min_isolation", "sandbox_socket"),
];

/// The output of `belljar config`: one line per setting.
pub fn show(command_line: Given, sources: &Environment<'_>) -> Result<String, ConfigError> {
    let (config, in_file) = Config::read(command_line, sources)?;
    let source = |setting: &str| {
        if sources.options.contains(setting) {
            Some(option_of(setting))
        } else if sources.setting(setting).is_some() {
            Some(variable_of(setting))
        } else if in_file.contains(setting) {
            config.given.config.as_deref().map(path)
        } else {
            None
        }
    };
    let mut rows = Vec::new();
    let mut without_value = Vec::new();
    for Definition { name, shown, .. } in in_order() {
        let from = match name {
            // The source of a temporary folder.
            "data_dir" if config.data_dir == DataDir::Scratch => {
                source("ephemeral").or_else(|| source(name))
            }
            _ => source(name),
        };
        match shown.and_then(|shown| shown(&config)) {
            Some(value) => rows.push((name, value, from.unwrap_or_else(|| "default".to_owned()))),
            None => without_value.extend(from.map(|from| (name, "set".to_owned(), from))),
        }
    }
    without_value.sort();
    rows.extend(without_value);
    Ok(table(&rows))
}

/// The definitions in the order of the lines.
fn in_order() -> Vec<Definition> {
    let mut order: Vec<Definition> = DEFINITIONS.iter().chain(TABLES).copied().collect();
    let place = |order: &[Definition], name| order.iter().position(|one| one.name == name);
    for (name, before) in MOVED {
        let Some(moved) = place(&order, name).map(|at| order.remove(at)) else { continue };
        let at = place(&order, before).unwrap_or(order.len());
        order.insert(at, moved);
    }
    order
}

fn table(rows: &[(&str, String, String)]) -> String {
    let name_width = rows.iter().map(|row| row.0.chars().count()).max().unwrap_or_default();
    let value_width = rows.iter().map(|row| row.1.chars().count()).max().unwrap_or_default();
    let value_width = value_width.min(60);
    let mut table = String::new();
    for (name, value, from) in rows {
        // Writing to a `String` cannot fail.
        let _ = writeln!(table, "{name:name_width$}  {value:value_width$}  {from}");
    }
    table
}

// The values of settings that have more than a default, or none.

pub fn config(config: &Config) -> Option<String> {
    Some(config.given.config.as_deref().map_or_else(none, path))
}

pub fn api_keys(config: &Config) -> Option<String> {
    Some(match config.api_keys.len() {
        0 => "none: clients need no key".to_owned(),
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    })
}

pub fn metrics_keys(config: &Config) -> Option<String> {
    Some(match config.metrics_keys.len() {
        0 => "none: /metrics needs what the API needs".to_owned(),
        1 => "1 key".to_owned(),
        keys => format!("{keys} keys"),
    })
}

pub fn data_dir(config: &Config) -> Option<String> {
    Some(match &config.data_dir {
        DataDir::Folder(folder) => path(folder),
        DataDir::Scratch => "a temporary folder".to_owned(),
    })
}

pub fn scenarios(config: &Config) -> Option<String> {
    Some(config.scenarios.as_deref().map_or_else(none, path))
}

pub fn models(config: &Config) -> Option<String> {
    let models = config.models.iter().map(|rule| {
        let by = rule.backend.shown();
        let by = if by == rule.name { by } else { format!("{}: {by}", rule.name) };
        let record = rule.record.as_ref().map(|to| format!(", recorded in {}", to.display()));
        by + &record.unwrap_or_default()
    });
    Some(models.collect::<Vec<_>>().join("; "))
}

pub fn record_ignore(config: &Config) -> Option<String> {
    Some(match config.record_ignore.len() {
        0 => none(),
        1 => "1 pattern".to_owned(),
        patterns => format!("{patterns} patterns"),
    })
}

pub fn record_remote_clients(config: &Config) -> Option<String> {
    Some(config.given.record_remote_clients.unwrap_or_default().to_string())
}

pub fn search(config: &Config) -> Option<String> {
    Some(config.search.as_ref().map_or_else(none, |search| match search {
        SearchConfig::Folder { folder, .. } => path(folder),
        SearchConfig::Searxng { base_url, .. } => without_password(base_url),
    }))
}

pub fn faults(config: &Config) -> Option<String> {
    Some(format!("{} for all requests", config.faults.len()))
}

pub fn sandbox_socket(config: &Config) -> Option<String> {
    match &config.sandbox {
        SandboxConfig::Socket(socket) => Some(path(socket)),
        SandboxConfig::Warden { .. } => None,
    }
}

pub fn warden(config: &Config) -> Option<String> {
    match &config.sandbox {
        SandboxConfig::Socket(_) => None,
        SandboxConfig::Warden { program, .. } => Some(path(program)),
    }
}

pub fn libraries(config: &Config) -> Option<String> {
    match &config.sandbox {
        SandboxConfig::Socket(_) => None,
        SandboxConfig::Warden { libraries, .. } => libraries.as_deref().map(path),
    }
}

pub fn run_timeout(config: &Config) -> Option<String> {
    match &config.sandbox {
        SandboxConfig::Socket(_) => None,
        SandboxConfig::Warden { run, .. } => Some(time_text(*run)),
    }
}

pub fn seed(config: &Config) -> Option<String> {
    match &config.sandbox {
        SandboxConfig::Socket(_) => None,
        SandboxConfig::Warden { seed, .. } => Some(seed.map_or_else(none, |seed| seed.to_string())),
    }
}

fn none() -> String {
    "none".to_owned()
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
