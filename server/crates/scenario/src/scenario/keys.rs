//! The value behind the key of a part, as it is written in a file.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::VariantNames as _;

use backend::Finish;
use domain::chaos::fault::{FaultStatus, FaultTime};
use domain::interaction::{Found, Reason, Tokens, Usage};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the keys `name` and `arguments`")]
pub struct CallKeys {
    pub name: String,
    #[serde(default)]
    pub arguments: serde_json::Map<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the keys `queries` and `results`")]
pub struct SearchKeys {
    pub queries: Vec<String>,
    /// Absent if the server makes the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<FoundKeys>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the keys `title`, `url` and `snippet`")]
pub struct FoundKeys {
    pub title: String,
    pub url: String,
    #[serde(default)]
    pub snippet: String,
}

impl From<SearchKeys> for Value {
    fn from(keys: SearchKeys) -> Value {
        json!(keys)
    }
}

impl From<FoundKeys> for Found {
    fn from(FoundKeys { title, url, snippet }: FoundKeys) -> Found {
        Found { title, url, snippet }
    }
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with the keys `status`, `message`, `retry_after` and `told`"
)]
pub struct FailKeys {
    pub status: FaultStatus,
    pub message: Option<String>,
    pub retry_after: Option<FaultTime>,
    #[serde(default)]
    pub told: bool,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a map with the keys `result`, `is_error` and `pictures`"
)]
#[derive(Default)]
pub struct ExpectKeys {
    pub result: Option<String>,
    pub is_error: bool,
    pub pictures: Option<Vec<std::path::PathBuf>>,
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "bool")]
pub struct Yes;

impl TryFrom<bool> for Yes {
    type Error = &'static str;

    fn try_from(yes: bool) -> Result<Yes, &'static str> {
        if yes { Ok(Yes) } else { Err("it can only be `true`; leave the part out otherwise") }
    }
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct FinishWord(pub Finish);

impl TryFrom<String> for FinishWord {
    type Error = String;

    fn try_from(word: String) -> Result<FinishWord, String> {
        match word.as_str() {
            "STOP" => Ok(FinishWord(Finish::Stop)),
            "MAX_TOKENS" => Ok(FinishWord(Finish::MaxTokens)),
            _ => word.parse().map(|reason| FinishWord(Finish::Stopped(reason))).map_err(|_| {
                let known = Reason::VARIANTS.join(", ");
                format!("`{word}` is no finish reason; there are STOP, MAX_TOKENS, {known}")
            }),
        }
    }
}

/// Token counts under the names of the response.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a map of token counts")]
pub struct UsageKeys {
    total_input_tokens: u64,
    total_output_tokens: u64,
    total_thought_tokens: u64,
    total_tool_use_tokens: u64,
    total_cached_tokens: u64,
}

impl From<UsageKeys> for Usage {
    fn from(keys: UsageKeys) -> Usage {
        Usage {
            input: Tokens::text(keys.total_input_tokens),
            output: Tokens::text(keys.total_output_tokens),
            thought: keys.total_thought_tokens,
            tool_use: Tokens::text(keys.total_tool_use_tokens),
            cached: keys.total_cached_tokens,
            searches: 0,
        }
    }
}
