//! The client's `generation_config`. It is passed to models and compared as it is; this module has all that
//! the server itself reads of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Summaries;

/// Validated JSON with Google's names: an object, or `Null` if there was none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationConfig(Value);

/// The mode of `tool_choice`, if it decides something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolMode {
    /// The model must call a tool.
    Any,
    None,
}

/// Values for the model, in Google's units.
#[derive(Debug, Clone, Copy)]
pub struct Sampling<'c> {
    pub temperature: Option<&'c Value>,
    pub top_p: Option<&'c Value>,
    pub seed: Option<&'c Value>,
    pub max_output_tokens: Option<&'c Value>,
    pub stop_sequences: Option<&'c Value>,
}

impl From<Value> for GenerationConfig {
    fn from(json: Value) -> GenerationConfig {
        GenerationConfig(json)
    }
}

impl GenerationConfig {
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// Its fields; `None` if there was no config or an empty one.
    pub fn fields(&self) -> Option<&Map<String, Value>> {
        self.0.as_object().filter(|fields| !fields.is_empty())
    }

    pub fn sampling(&self) -> Sampling<'_> {
        Sampling {
            temperature: self.0.get("temperature"),
            top_p: self.0.get("top_p"),
            seed: self.0.get("seed"),
            max_output_tokens: self.0.get("max_output_tokens"),
            stop_sequences: self.0.get("stop_sequences"),
        }
    }

    pub fn response_mime_type(&self) -> Option<&str> {
        self.0.get("response_mime_type")?.as_str()
    }

    /// The schema of the answer. One is possible without a type.
    pub fn response_schema(&self) -> Option<&Value> {
        self.0.get("response_json_schema")
    }

    /// Whether the answer must be JSON.
    pub fn requests_json(&self) -> bool {
        self.response_mime_type() == Some("application/json")
    }

    /// Thought summaries are shown unless the client declines them.
    pub fn summaries(&self) -> Summaries {
        match self.0.get("thinking_summaries").and_then(Value::as_str) {
            Some("none") => Summaries::Hidden,
            _ => Summaries::Shown,
        }
    }

    pub fn tool_mode(&self) -> Option<ToolMode> {
        match self.0.get("tool_choice")?.as_str()? {
            "any" => Some(ToolMode::Any),
            "none" => Some(ToolMode::None),
            _ => None,
        }
    }

    /// The tools that `tool_choice` permits of the offered ones.
    pub fn permitted<'t>(&self, offered: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
        let choice = self.0.get("tool_choice").unwrap_or(&Value::Null);
        let allowed = &choice["allowed_tools"];
        if *choice == "none" || allowed["mode"] == "none" {
            return Vec::new();
        }
        match allowed["tools"].as_array() {
            Some(names) => offered.filter(|tool| names.iter().any(|name| name == tool)).collect(),
            None => offered.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(json: Value) -> GenerationConfig {
        GenerationConfig::from(json)
    }

    #[test]
    fn tools_are_permitted_by_mode_and_name() {
        for (choice, permitted) in [
            (json!(null), vec!["a", "b"]),
            (json!({"tool_choice": "auto"}), vec!["a", "b"]),
            (json!({"tool_choice": "none"}), vec![]),
            (json!({"tool_choice": {"allowed_tools": {"tools": ["b", "c"]}}}), vec!["b"]),
            (json!({"tool_choice": {"allowed_tools": {"mode": "none", "tools": ["b"]}}}), vec![]),
        ] {
            assert_eq!(
                config(choice.clone()).permitted(["a", "b"].into_iter()),
                permitted,
                "{choice}"
            );
        }
        assert_eq!(config(json!({"tool_choice": "any"})).tool_mode(), Some(ToolMode::Any));
        assert_eq!(config(json!({"tool_choice": "validated"})).tool_mode(), None);
    }

    #[test]
    fn a_missing_config_has_defaults() {
        for empty in [json!(null), json!({})] {
            let config = config(empty);
            assert!(config.fields().is_none() && !config.requests_json());
            assert_eq!(config.summaries(), Summaries::Shown);
            assert_eq!(config.tool_mode(), None);
        }
        assert_eq!(config(json!({"thinking_summaries": "none"})).summaries(), Summaries::Hidden);
        assert!(config(json!({"response_mime_type": "application/json"})).requests_json());
    }
}
