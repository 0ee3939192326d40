//! The address of another server, and its keys in a `[[model]]` table.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;

use crate::backends::kind::Variables;
use parse::units::TimeSpan;
use parse::url;

/// Default idle timeout. A long prompt on a small machine takes minutes.
const IDLE_TIMEOUT: TimeSpan = TimeSpan::seconds(300);

/// Address of the upstream server.
#[derive(Debug, Clone)]
pub struct Address {
    /// Including the version: `http://127.0.0.1:11434/v1`.
    pub base_url: String,
    pub key: Option<SecretString>,
    /// Idle timeout.
    pub silence: Duration,
}

impl Address {
    /// `example` is a right `base_url`. `api_key_env` is the variable that contains the key.
    pub fn new(
        base_url: String,
        example: &str,
        api_key_env: Option<String>,
        idle_timeout: Option<TimeSpan>,
        variables: Variables<'_>,
    ) -> Result<Address, String> {
        if !url::is_http(&base_url) {
            return Err(format!("invalid base_url {base_url}: expected a URL such as {example}"));
        }
        let key = |name: String| {
            let key = variables(&name).filter(|key| !key.is_empty());
            key.map(SecretString::from)
                .ok_or_else(|| format!("environment variable {name} contains no key"))
        };
        let key = api_key_env.map(key).transpose()?;
        Ok(Address { base_url, key, silence: idle_timeout.unwrap_or(IDLE_TIMEOUT).0 })
    }
}

/// Without the credentials that a URL may have.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&url::without_password(&self.base_url))
    }
}
