//! Settings and their defaults. No other module reads the environment.
//!
//! Precedence: option, environment variable, configuration file, default.
//!
//! ```text
//!   command line ─┐
//!   variables ────┼──▶ Given ──▶ Config     Given: optional values, completed by those of the
//!   file ─────────┘                         next source; Config: checked, with all defaults
//! ```

mod definition;
mod environment;
mod error;
mod file;
mod flags;
mod help;
mod models;
mod names;
mod renamed;
mod search;
mod settings;
mod shown;
mod task;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::Control;
use crate::backends::kind::BackendConfig;
use crate::engine::FetchFrom;
use crate::http::Hosts;
use crate::listen::ListenAddress;
use ::search::FolderLimits;
use domain::chaos::fault::Fault;
use domain::interaction::Limits;
use environment::Environment;
use file::ConfigFile;
use parse::units::TimeSpan;
use recording::RecordMode;
use redaction::Secrets;
use scenario::Ignore;
use store::FileLimits;

pub use environment::{cache_folder, installed_libraries};
pub use error::ConfigError;
pub use file::schema;
pub use flags::{LogFormat, SchemaName};
pub use help::command;
pub use names::{check as check_variables, nearest};
pub use parse::units::{size_text, time_text};
pub use renamed::FormerName;
pub use settings::Given;
pub use task::{Exec, Task};

/// Default folder of scenarios, used only if it exists.
const SCENARIOS: &str = "scenarios";

/// Configuration of a server.
#[derive(Debug)]
pub struct Config {
    /// The settings. Those that are not used as they were given are fields of their own below.
    pub given: Given,
    pub data_dir: DataDir,
    /// `None` if no folder was given and `./scenarios` does not exist.
    pub scenarios: Option<PathBuf>,
    /// If empty, clients need no key.
    pub api_keys: Vec<SecretString>,
    /// Keys for the metrics alone.
    pub metrics_keys: Vec<SecretString>,
    /// Whether clients may use the test controls.
    pub control: Control,
    /// Accepted host names besides `localhost` and IP addresses, for requests without a key.
    pub hosts: Hosts,
    pub sandbox: SandboxConfig,
    /// In order of precedence.
    pub models: Vec<ModelRule>,
    /// Text that recordings omit.
    pub record_ignore: Ignore,
    /// Where models search; `None` disables search.
    pub search: Option<SearchConfig>,
    /// Faults for all requests. Only the configuration file sets them.
    pub faults: Vec<Fault>,
    pub limits: Limits,
    pub files: FileLimits,
    pub fetch_from: FetchFrom,
    pub colour: Colour,
    /// Settings that were given under former names, for warnings.
    pub former_names: BTreeSet<FormerName>,
}

/// Whether the log uses colours, from `NO_COLOR` and `CLICOLOR_FORCE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// If standard error is a terminal.
    Auto,
    Always,
    Never,
}

/// Where interactions are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataDir {
    Folder(PathBuf),
    /// A temporary folder, deleted when the server stops.
    Scratch,
}

/// How to reach the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxConfig {
    /// A warden that runs already, with its own limits.
    Socket(PathBuf),
    /// A warden that the server starts and stops.
    Warden {
        program: PathBuf,
        /// `None` if none are installed.
        libraries: Option<PathBuf>,
        run: Duration,
        seed: Option<u64>,
    },
}

/// Where models search.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchConfig {
    /// A folder of documents, and the base URL under which clients see them.
    Folder {
        folder: PathBuf,
        base_url: String,
        results: usize,
        limits: FolderLimits,
    },
    Searxng {
        base_url: String,
        timeout: Duration,
        results: usize,
    },
}

/// Maps models to a backend.
#[derive(Debug, Clone)]
pub struct ModelRule {
    /// Glob pattern for the requested model name.
    pub name: String,
    pub backend: Arc<dyn BackendConfig>,
    /// Folder for recordings of its answers, if they are recorded.
    pub record: Option<PathBuf>,
}

impl Config {
    /// All API keys, of clients and of backends, for redaction. Never log them.
    pub fn secrets(&self) -> Secrets {
        let addresses = self.models.iter().filter_map(|rule| rule.backend.address());
        let of_models = addresses.filter_map(|address| address.key.as_ref());
        Secrets::new(self.api_keys.iter().chain(&self.metrics_keys).chain(of_models).cloned())
    }

    fn of_serve(command_line: Given, sources: &Environment<'_>) -> Result<Config, ConfigError> {
        Config::read(command_line, sources).map(|(config, _)| config)
    }

    /// Configuration for `exec`. Several servers may run at once, so the port and the folder of
    /// `serve` are ignored. The log is quiet because the terminal belongs to the command.
    fn of_exec(command_line: Given, sources: &Environment<'_>) -> Result<Config, ConfigError> {
        let mut given = command_line.only(&sources.options).with_opposites();
        given.listen.get_or_insert(ListenAddress::loopback(0));
        // The command has ended, so no client waits for a response.
        given.shutdown_grace.get_or_insert(TimeSpan::seconds(0));
        given.ephemeral.get_or_insert(true);
        // A server for one command is for tests, so the `control` setting of `serve` is ignored.
        given.control.get_or_insert(true);
        let mut config = Config::complete(given, sources)?.0;
        config.given.log.get_or_insert_with(|| "warn".to_owned());
        Ok(config)
    }

    /// Also returns the names of the settings in the file.
    fn read(
        command_line: Given,
        sources: &Environment<'_>,
    ) -> Result<(Config, BTreeSet<String>), ConfigError> {
        Config::complete(command_line.only(&sources.options).with_opposites(), sources)
    }

    /// Completes the options by the variables and the file.
    fn complete(
        command_line: Given,
        sources: &Environment<'_>,
    ) -> Result<(Config, BTreeSet<String>), ConfigError> {
        let given = command_line.or(Given::from_variables(sources)?.with_opposites());
        let file = given.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        let given = given.or(file.given.with_opposites());
        let former_names = sources.former_names.iter().cloned().chain(file.former_names).collect();
        let config = Config::check(given, sources, former_names)?.with_recordings_apart()?;
        Ok((config, file.names))
    }

    fn check(
        given: Given,
        sources: &Environment<'_>,
        former_names: BTreeSet<FormerName>,
    ) -> Result<Config, ConfigError> {
        let api_keys = given.api_keys.clone().unwrap_or_default().0;
        if !given.listen().is_loopback() && api_keys.is_empty() && given.no_auth != Some(true) {
            return Err(ConfigError::Open(given.listen()));
        }
        let hosts = given.hosts.iter().flatten().map(|name| name.trim());
        let record_ignore = given.record_ignore.iter().flatten().map(|line| line.0.clone());
        let record_ignore = Ignore::try_from(record_ignore.collect::<Vec<_>>());
        let fetch_from = given.fetch_from.iter().flatten().map(String::as_str);
        let tables = given.model.clone().unwrap_or_default();
        Ok(Config {
            data_dir: data_dir(&given, sources)?,
            scenarios: given
                .scenarios
                .clone()
                .or_else(|| Some(PathBuf::from(SCENARIOS)).filter(|folder| folder.is_dir())),
            control: given
                .control
                .map_or_else(|| Control::default_with(!api_keys.is_empty()), Control::from),
            api_keys,
            metrics_keys: given.metrics_keys.clone().unwrap_or_default().0,
            hosts: Hosts::new(hosts.filter(|name| !name.is_empty()))?,
            sandbox: sandbox(&given, sources)?,
            models: models::rules(tables, given.record.as_deref(), sources.variable)?,
            record_ignore: record_ignore.map_err(ConfigError::RecordIgnore)?,
            search: given.search.clone().map_or(Ok(None), search::Setting::config)?,
            faults: given.fault.clone().unwrap_or_default(),
            limits: Limits {
                regenerations: given.max_code_retries(),
                model_turns: given.max_model_turns(),
            },
            files: FileLimits {
                file_bytes: given.max_upload_bytes().0,
                total_bytes: given.max_total_upload_bytes().0,
                lifetime: given.file_lifetime().0,
            },
            fetch_from: FetchFrom::new(fetch_from)?,
            colour: sources.colour(),
            former_names,
            given,
        })
    }

    /// Rejects settings under which one key would receive answers recorded for another.
    fn with_recordings_apart(self) -> Result<Config, ConfigError> {
        if self.given.shared_keys == Some(true) || self.api_keys.len() < 2 {
            return Ok(self);
        }
        let replayed = self.models.iter().filter_map(|rule| rule.backend.replayed());
        let searched = match &self.search {
            Some(SearchConfig::Folder { folder, .. }) => Some(folder.as_path()),
            _ => None,
        };
        let read: Vec<_> =
            replayed.chain(self.scenarios.as_deref()).chain(searched).map(real).collect();
        let is_read = |folder: &&PathBuf| {
            let folder = real(folder);
            read.iter().any(|read| read.starts_with(&folder) || folder.starts_with(read))
        };
        // With `--record-mode new` recordings answer although they are not loaded as scenarios.
        let all_answer = self.given.record_mode() == RecordMode::New;
        let mut recorded = self.models.iter().filter_map(|rule| rule.record.as_ref());
        match recorded.find(|folder| all_answer || is_read(folder)) {
            Some(folder) => Err(ConfigError::RecordingsAnswer(folder.clone())),
            None => Ok(self),
        }
    }
}

fn data_dir(given: &Given, sources: &Environment<'_>) -> Result<DataDir, ConfigError> {
    if given.ephemeral == Some(true) {
        return Ok(DataDir::Scratch);
    }
    let folder = given.data_dir.clone().or_else(|| sources.platform_data_dir());
    folder.map(DataDir::Folder).ok_or(ConfigError::NoDataDir)
}

fn sandbox(given: &Given, sources: &Environment<'_>) -> Result<SandboxConfig, ConfigError> {
    if let Some(socket) = &given.sandbox_socket {
        return Ok(SandboxConfig::Socket(socket.clone()));
    }
    let libraries = given.libraries.clone().or_else(|| sources.installed_libraries());
    Ok(SandboxConfig::Warden {
        program: given.warden.clone().map_or_else(warden_beside_us, Ok)?,
        libraries,
        run: given.run_timeout().0,
        seed: given.seed,
    })
}

/// The path without links and dots, as far as it exists.
fn real(folder: &Path) -> PathBuf {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    whole.canonicalize().unwrap_or(whole)
}

fn warden_beside_us() -> Result<PathBuf, ConfigError> {
    let ours = std::env::current_exe().map_err(ConfigError::NoWarden)?;
    Ok(ours.parent().unwrap_or(Path::new("")).join("belljar-warden"))
}

#[cfg(test)]
mod tests;
