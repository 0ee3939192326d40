//! The keys of a `[[model]]` table with `backend = "openai"`.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{Has, OpenAi, OpenAiModel};
use crate::backends::kind::{self, BackendConfig, BackendKind, SharedParts, Variables};
use crate::backends::upstream::Address;
use backend::Backend;
use parse::units::TimeSpan;

/// Ollama on this machine.
const EXAMPLE: &str = "http://127.0.0.1:11434/v1";

pub const KIND: BackendKind = BackendKind {
    name: "openai",
    without_table: None,
    configure: |keys, variables| Ok(Arc::new(OpenAiConfig::new(kind::read(keys)?, variables)?)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenAiKeys {
    base_url: Option<String>,
    model: Option<String>,
    api_key_env: Option<String>,
    #[serde(alias = "silence")]
    idle_timeout: Option<TimeSpan>,
    #[serde(default)]
    tools: ToolsWord,
    #[serde(default)]
    images: Images,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToolsWord {
    Native,
    Fenced,
    #[default]
    Auto,
}

#[derive(Default)]
struct Images(Has);

impl<'de> Deserialize<'de> for Images {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Images, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::Boolean(true) => Ok(Images(Has::Yes)),
            toml::Value::Boolean(false) => Ok(Images(Has::No)),
            toml::Value::String(word) if word == "auto" => Ok(Images(Has::Auto)),
            _ => Err(D::Error::custom("expected true, false or \"auto\"")),
        }
    }
}

#[derive(Debug)]
struct OpenAiConfig {
    address: Address,
    model: OpenAiModel,
}

impl OpenAiConfig {
    fn new(keys: OpenAiKeys, variables: Variables<'_>) -> Result<OpenAiConfig, String> {
        let base_url = keys.base_url.ok_or("missing base_url: the URL of its server")?;
        let address =
            Address::new(base_url, EXAMPLE, keys.api_key_env, keys.idle_timeout, variables)?;
        let tools = match keys.tools {
            ToolsWord::Native => Has::Yes,
            ToolsWord::Fenced => Has::No,
            ToolsWord::Auto => Has::Auto,
        };
        Ok(OpenAiConfig {
            address,
            model: OpenAiModel { name: keys.model, tools, images: keys.images.0 },
        })
    }
}

impl BackendConfig for OpenAiConfig {
    fn shown(&self) -> String {
        format!("{} {}", KIND.name, self.address)
    }

    fn address(&self) -> Option<&Address> {
        Some(&self.address)
    }

    fn build(&self, shared: &SharedParts) -> anyhow::Result<Arc<dyn Backend>> {
        Ok(Arc::new(OpenAi::new(
            self.address.clone(),
            self.model.clone(),
            shared.received.clone(),
        )?))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn config(keys: &str) -> Result<OpenAiConfig, String> {
        let keys = kind::read(toml::from_str(keys).expect("it is TOML"))?;
        OpenAiConfig::new(keys, &|name| (name == "OLLAMA_KEY").then(|| "geheim".to_owned()))
    }

    #[test]
    fn each_key_has_an_effect_and_the_api_key_is_not_shown() {
        let config = config(
            "base_url = 'http://user:geheim@127.0.0.1:1/v1'\nmodel = 'qwen3:8b'\n\
             api_key_env = 'OLLAMA_KEY'\ntools = 'fenced'\nimages = true\nidle_timeout = '5s'\n",
        )
        .expect("the keys are valid");
        assert_eq!(config.address.base_url, "http://user:geheim@127.0.0.1:1/v1");
        assert_eq!(config.address.silence.as_secs(), 5);
        assert_eq!(config.address.key.as_ref().map(ExposeSecret::expose_secret), Some("geheim"));
        let wanted =
            OpenAiModel { name: Some("qwen3:8b".into()), tools: Has::No, images: Has::Yes };
        assert_eq!(config.model, wanted);
        assert_eq!(config.shown(), "openai http://127.0.0.1:1/v1");
    }

    #[test]
    fn only_the_url_is_required() {
        let config = config("base_url = 'http://h'\n").expect("the key is valid");
        assert_eq!((config.address.silence.as_secs(), config.address.key.is_none()), (300, true));
        assert_eq!(config.model, OpenAiModel { name: None, tools: Has::Auto, images: Has::Auto });
    }

    #[test]
    fn a_wrong_value_is_rejected_with_its_key() {
        for (keys, wanted) in [
            ("", "missing base_url: the URL of its server"),
            ("base_url = 'gopher://x'", "invalid base_url gopher://x: expected a URL such as http"),
            ("base_url = 'http://x'\napi_key_env = 'NO'", "variable NO contains no key"),
            ("images = 1", "invalid images: expected true, false or \"auto\""),
            ("tools = 'all'", "invalid tools: unknown variant `all`, expected one of `native`"),
            ("idle_timeout = 'soon'", "invalid idle_timeout: expected a duration"),
            ("execution = 'sandbox'", "unknown field `execution`, expected one of `base_url`"),
        ] {
            let error = config(keys).expect_err(keys);
            assert!(error.contains(wanted), "{keys} gave {error}");
        }
    }
}
