//! The keys of a `[[model]]` table with `backend = "gemini"`.

use std::sync::Arc;

use serde::Deserialize;

use super::{Execution, GOOGLE, Gemini, GeminiModel};
use crate::backends::kind::{self, BackendConfig, BackendKind, SharedParts, Variables};
use crate::backends::upstream::Address;
use backend::Backend;
use parse::units::TimeSpan;

pub const KIND: BackendKind = BackendKind {
    name: "gemini",
    without_table: None,
    configure: |keys, variables| Ok(Arc::new(GeminiConfig::new(kind::read(keys)?, variables)?)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GeminiKeys {
    base_url: Option<String>,
    model: Option<String>,
    api_key_env: Option<String>,
    #[serde(alias = "silence")]
    idle_timeout: Option<TimeSpan>,
    #[serde(default)]
    execution: Execution,
}

#[derive(Debug)]
struct GeminiConfig {
    address: Address,
    model: GeminiModel,
}

impl GeminiConfig {
    fn new(keys: GeminiKeys, variables: Variables<'_>) -> Result<GeminiConfig, String> {
        let base_url = keys.base_url.unwrap_or_else(|| GOOGLE.to_owned());
        let address =
            Address::new(base_url, GOOGLE, keys.api_key_env, keys.idle_timeout, variables)?;
        Ok(GeminiConfig {
            address,
            model: GeminiModel { name: keys.model, execution: keys.execution },
        })
    }
}

impl BackendConfig for GeminiConfig {
    fn shown(&self) -> String {
        format!("{} {}", KIND.name, self.address)
    }

    fn address(&self) -> Option<&Address> {
        Some(&self.address)
    }

    fn build(&self, shared: &SharedParts) -> anyhow::Result<Arc<dyn Backend>> {
        Ok(Arc::new(Gemini::new(
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

    fn config(keys: &str) -> Result<GeminiConfig, String> {
        let keys = kind::read(toml::from_str(keys).expect("it is TOML"))?;
        GeminiConfig::new(keys, &|name| (name == "KEY").then(|| "geheim".to_owned()))
    }

    #[test]
    fn googles_server_is_used_unless_base_url_is_set() {
        let usual = config("api_key_env = 'KEY'").expect("the key is valid");
        assert_eq!(usual.address.base_url, "https://generativelanguage.googleapis.com");
        assert_eq!(usual.address.key.as_ref().map(ExposeSecret::expose_secret), Some("geheim"));
        assert_eq!(usual.model, GeminiModel { name: None, execution: Execution::Sandbox });
        assert!(!format!("{usual:?}").contains("geheim"));
        let other = config(
            "base_url = 'http://127.0.0.1:1'\nmodel = 'm'\nexecution = 'upstream'\n\
             idle_timeout = '5s'\n",
        )
        .expect("the keys are valid");
        assert_eq!(other.address.base_url, "http://127.0.0.1:1");
        assert_eq!((other.address.silence.as_secs(), other.address.key.is_none()), (5, true));
        assert_eq!(
            other.model,
            GeminiModel { name: Some("m".into()), execution: Execution::Upstream }
        );
    }

    #[test]
    fn a_wrong_value_is_rejected_with_its_key() {
        for (keys, wanted) in [
            ("base_url = 'google'", "invalid base_url google: expected a URL such as https://gen"),
            ("execution = 'here'", "invalid execution: unknown variant `here`, expected `sandbox`"),
            ("images = true", "unknown field `images`, expected one of `base_url`"),
        ] {
            let error = config(keys).expect_err(keys);
            assert!(error.contains(wanted), "{keys} gave {error}");
        }
    }
}
