//! The `[[model]]` tables, which map models to backends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::{BackendConfig, ConfigError, ModelRule};
use crate::backend::gemini::{self, Execution};
use crate::backend::openai::{Has, Model};
use crate::backend::upstream::Address;

/// Default idle timeout of a model's server. A long prompt on a small machine takes minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// A `[[model]]` table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    name: String,
    backend: String,
    // The following fields are for backends that call other servers.
    base_url: Option<String>,
    model: Option<String>,
    api_key_env: Option<String>,
    tools: Option<ToolsWord>,
    images: Option<ImagesWord>,
    execution: Option<ExecutionWord>,
    /// For `replay`: the folder of recordings.
    folder: Option<PathBuf>,
    record: Option<RecordWord>,
    #[serde(default, deserialize_with = "super::units::in_file::duration", alias = "silence")]
    idle_timeout: Option<Duration>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} = {}", self.name, self.backend)
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToolsWord {
    Native,
    Fenced,
    Auto,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExecutionWord {
    Sandbox,
    Upstream,
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

#[derive(Clone, Copy)]
struct ImagesWord(Has);

impl<'de> Deserialize<'de> for ImagesWord {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<ImagesWord, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::Boolean(true) => Ok(ImagesWord(Has::Yes)),
            toml::Value::Boolean(false) => Ok(ImagesWord(Has::No)),
            toml::Value::String(word) if word == "auto" => Ok(ImagesWord(Has::Auto)),
            _ => Err(serde::de::Error::custom("images must be true, false or \"auto\"")),
        }
    }
}

/// The rules of the file, followed by the built-in ones.
///
/// `record` applies to every model that does not set its own.
pub fn rules(
    tables: Vec<Table>,
    record: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Vec<ModelRule>, ConfigError> {
    let record = || record.map(Path::to_owned);
    let defaults = [("direct", BackendConfig::Direct), ("*", BackendConfig::Scripted)];
    let defaults = defaults
        .map(|(name, backend)| Ok(ModelRule { name: name.to_owned(), backend, record: record() }));
    tables.into_iter().map(|table| table.rule(record(), &variable)).chain(defaults).collect()
}

impl Table {
    fn rule(
        self,
        record: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<ModelRule, ConfigError> {
        let name = self.name.clone();
        let record = self.record.clone().map_or(record, |word| word.0);
        let wrong = |why: String| ConfigError::Model { name: name.clone(), why };
        crate::parse::glob::parse(&name).map_err(|error| wrong(error.to_string()))?;
        let backend = match self.backend.as_str() {
            "direct" => BackendConfig::Direct,
            "scripted" => BackendConfig::Scripted,
            "openai" => self.openai(variable).map_err(wrong)?,
            "gemini" => self.gemini(variable).map_err(wrong)?,
            "replay" => {
                let missing = || wrong("missing folder: the path of its recordings".to_owned());
                BackendConfig::Replay(self.folder.ok_or_else(missing)?)
            }
            other => {
                return Err(wrong(format!(
                    "unknown backend {other}: expected direct, scripted, openai, gemini or \
                     replay"
                )));
            }
        };
        Ok(ModelRule { name, backend, record })
    }

    fn openai(self, variable: impl Fn(&str) -> Option<String>) -> Result<BackendConfig, String> {
        let base_url = self.base_url.clone().ok_or("missing base_url: the URL of its server")?;
        let address = self.address(base_url, "http://127.0.0.1:11434/v1", variable)?;
        let tools = match self.tools.unwrap_or(ToolsWord::Auto) {
            ToolsWord::Native => Has::Yes,
            ToolsWord::Fenced => Has::No,
            ToolsWord::Auto => Has::Auto,
        };
        let images = self.images.map_or(Has::Auto, |word| word.0);
        Ok(BackendConfig::OpenAi(address, Model { name: self.model, tools, images }))
    }

    fn gemini(self, variable: impl Fn(&str) -> Option<String>) -> Result<BackendConfig, String> {
        let base_url = self.base_url.clone().unwrap_or_else(|| gemini::GOOGLE.to_owned());
        let address = self.address(base_url, gemini::GOOGLE, variable)?;
        let execution = match self.execution.unwrap_or(ExecutionWord::Sandbox) {
            ExecutionWord::Sandbox => Execution::Sandbox,
            ExecutionWord::Upstream => Execution::Upstream,
        };
        Ok(BackendConfig::Gemini(address, gemini::Model { name: self.model, execution }))
    }

    fn address(
        &self,
        base_url: String,
        such_as: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Address, String> {
        let is_http = reqwest::Url::parse(&base_url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_http {
            return Err(format!("invalid base_url {base_url}: expected a URL such as {such_as}"));
        }
        let key = match &self.api_key_env {
            None => None,
            Some(name) => {
                let key = variable(name).filter(|key| !key.is_empty());
                Some(SecretString::from(
                    key.ok_or(format!("environment variable {name} contains no key"))?,
                ))
            }
        };
        Ok(Address { base_url, key, silence: self.idle_timeout.unwrap_or(IDLE_TIMEOUT) })
    }
}
