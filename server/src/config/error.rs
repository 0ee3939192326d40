//! Why the configuration is invalid.

use std::path::PathBuf;

use crate::engine::InvalidUrlPrefix;
use crate::http::NotAHost;
use crate::listen::ListenAddress;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Also a request for help. Prints itself.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error("invalid {name}={value}: {why}")]
    Variable { name: String, value: String, why: String },
    #[error("unknown variable {name}{}", did_you_mean(.meant.as_deref()))]
    UnknownVariable { name: String, meant: Option<String> },
    #[error("invalid {0}: the value is not UTF-8")]
    NotText(String),
    #[error("could not read the configuration {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("invalid configuration {}: {why}", path.display())]
    Syntax { path: PathBuf, why: String },
    #[error("BELLJAR_FETCH_FROM: {0}")]
    FetchFrom(#[from] InvalidUrlPrefix),
    #[error("invalid record_ignore: {0}")]
    RecordIgnore(String),
    #[error("invalid --hosts (BELLJAR_HOSTS): {0}")]
    Hosts(#[from] NotAHost),
    #[error("[search]: {0}")]
    Search(String),
    #[error("[[model]] {name}: {why}")]
    Model { name: String, why: String },
    #[error("{0} accepts connections from other machines, but no API keys are set")]
    Open(ListenAddress),
    #[error(
        "recordings in {} would expose the requests of one API key to the others: record into a \
         folder that the server does not read and without --record-mode new, or pass \
         --shared-keys", .0.display()
    )]
    RecordingsAnswer(PathBuf),
    #[error("no data folder: HOME is not set")]
    NoDataDir,
    #[error("the sandbox's libraries are not installed")]
    NoLibraries,
    #[error("could not find the warden program: {0}")]
    NoWarden(std::io::Error),
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!(": did you mean {meant}?")).unwrap_or_default()
}

impl ConfigError {
    /// What to do about the error, if there is one thing to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ConfigError::UnknownVariable { meant: None, .. } => {
                "`belljar serve --help` lists every setting; unset the variable if it is not one of them"
            }
            ConfigError::Open(_) => {
                "set BELLJAR_API_KEYS=KEY,… to require keys, or pass --no-auth to serve clients without one"
            }
            ConfigError::NoDataDir => {
                "pass --data-dir DIR, or --ephemeral to use a temporary folder"
            }
            ConfigError::NoWarden(_) => "pass --warden PATH or --sandbox-socket PATH",
            _ => return None,
        })
    }
}
