//! `belljar config`: the effective settings and the source of each. Keys are not shown.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::file::File;
use super::flags::Flags;
use super::{
    BackendConfig, Config, ConfigError, DataDir, SandboxConfig, SearchConfig, Variables, names,
    path, size_text, time_text,
};

/// The settings that the command line sets.
pub fn given(matches: &ArgMatches) -> BTreeSet<String> {
    let ids = matches.ids().map(clap::Id::as_str);
    let is_given = |id: &&str| {
        matches.try_contains_id(id).is_ok()
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    ids.filter(is_given).map(str::to_owned).collect()
}

impl Config {
    /// Formats one line per setting.
    pub(super) fn show(
        flags: Flags,
        variables: &Variables<'_>,
        given: &BTreeSet<String>,
    ) -> Result<String, ConfigError> {
        let file = variables.or(flags.config.clone(), "BELLJAR_CONFIG", path)?;
        let config = Config::read(flags, variables)?;
        let in_file = file.as_deref().map(File::keys).transpose()?.unwrap_or_default();
        let source = |setting: &str| {
            let variable = names::variable_of(setting);
            let is_set = (variables.0)(&variable).is_some_and(|value| !value.is_empty());
            if given.contains(setting) {
                format!("--{}", setting.replace('_', "-"))
            } else if is_set {
                variable
            } else if in_file.contains(setting) {
                file.as_deref().unwrap_or(Path::new("")).display().to_string()
            } else {
                "default".to_owned()
            }
        };
        let mut rows: Vec<(String, String, String)> = config
            .values(file.as_deref())
            .into_iter()
            .map(|(setting, value)| (setting.to_owned(), value, source(setting)))
            .collect();
        // `ephemeral` decides `data_dir`, so it is the source.
        if source("ephemeral") != "default" && config.data_dir == DataDir::Scratch {
            let from = source("ephemeral");
            rows.iter_mut()
                .filter(|row| row.0 == "data_dir")
                .for_each(|row| row.2.clone_from(&from));
        }
        // Further settings that are not at their default.
        for variable in names::settings() {
            let setting = variable.trim_start_matches("BELLJAR_").to_lowercase();
            let from = source(&setting);
            let is_shown = rows.iter().any(|(shown, ..)| *shown == setting);
            if !is_shown && from != "default" && setting != "cache" {
                rows.push((setting, "set".to_owned(), from));
            }
        }
        Ok(table(&rows))
    }

    fn values(&self, file: Option<&Path>) -> Vec<(&'static str, String)> {
        let none = || "none".to_owned();
        let shown = |path: &Path| path.display().to_string();
        let mut values = vec![
            ("config", file.map_or_else(none, shown)),
            ("listen", self.listen.to_string()),
            (
                "api_keys",
                match self.api_keys.len() {
                    0 => "none: clients need no key".to_owned(),
                    1 => "1 key".to_owned(),
                    keys => format!("{keys} keys"),
                },
            ),
            (
                "data_dir",
                match &self.data_dir {
                    DataDir::Folder(folder) => shown(folder),
                    DataDir::Scratch => "a temporary folder".to_owned(),
                },
            ),
            ("retention", time_text(self.retention)),
            ("file_lifetime", time_text(self.files.lifetime)),
            ("scenarios", self.scenarios.as_deref().map_or_else(none, shown)),
            ("model", self.models_shown()),
            ("record_mode", self.record_mode.as_str().to_owned()),
            (
                "record_ignore",
                match self.record_ignore.len() {
                    0 => none(),
                    1 => "1 pattern".to_owned(),
                    patterns => format!("{patterns} patterns"),
                },
            ),
            ("record_remote_clients", self.record_remote_clients.to_string()),
            ("max_code_retries", self.limits.regenerations.to_string()),
            ("max_model_turns", self.limits.model_turns.to_string()),
            (
                "search",
                self.search.as_ref().map_or_else(none, |search| match search {
                    SearchConfig::Folder { folder, .. } => shown(folder),
                    SearchConfig::Searxng { base_url, .. } => without_password(base_url),
                }),
            ),
            ("fault", format!("{} for all requests", self.faults.len())),
            ("min_isolation", self.min_isolation.to_string()),
        ];
        match &self.sandbox {
            SandboxConfig::Socket(socket) => values.push(("sandbox_socket", shown(socket))),
            SandboxConfig::Warden { program, libraries, run, seed } => values.extend([
                ("warden", shown(program)),
                ("libraries", shown(libraries)),
                ("run_timeout", time_text(*run)),
                ("seed", seed.map_or_else(none, |seed| seed.to_string())),
            ]),
        }
        values.extend([
            ("request_bytes", size_text(self.request_bytes as u64)),
            ("write_timeout", time_text(self.write_timeout)),
            ("max_upload_bytes", size_text(self.files.file_bytes)),
            ("max_total_upload_bytes", size_text(self.files.total_bytes)),
            ("shutdown_grace", time_text(self.shutdown_grace)),
            ("log", self.log.clone()),
            ("log_format", self.log_format.as_str().to_owned()),
        ]);
        values
    }

    fn models_shown(&self) -> String {
        let models = self.models.iter().map(|rule| {
            let by = match &rule.backend {
                BackendConfig::Direct => "direct".to_owned(),
                BackendConfig::Scripted => "scripted".to_owned(),
                BackendConfig::OpenAi(address, _) => {
                    format!("openai {}", without_password(&address.base_url))
                }
                BackendConfig::Gemini(address, _) => {
                    format!("gemini {}", without_password(&address.base_url))
                }
                BackendConfig::Replay(folder) => format!("replay {}", folder.display()),
            };
            let record = rule.record.as_ref().map(|to| format!(", recorded in {}", to.display()));
            if *by == rule.name {
                format!("{by}{}", record.unwrap_or_default())
            } else {
                format!("{}: {by}{}", rule.name, record.unwrap_or_default())
            }
        });
        models.collect::<Vec<_>>().join("; ")
    }
}

/// Removes the credentials from a URL.
fn without_password(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            // Neither call fails for a URL with credentials.
            let _ = parsed.set_password(None);
            let _ = parsed.set_username("");
            parsed.to_string()
        }
        _ => url.to_owned(),
    }
}

fn table(rows: &[(String, String, String)]) -> String {
    let width = |at: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| at(row).chars().count()).max().unwrap_or_default()
    };
    let (names, values) = (width(|row| &row.0), width(|row| &row.1).min(60));
    let mut table = String::new();
    for (name, value, from) in rows {
        // Writing to a `String` cannot fail.
        let _ = writeln!(table, "{name:names$}  {value:values$}  {from}");
    }
    table
}
