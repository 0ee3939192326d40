//! The tools of Google's API that a request declares beside code execution, web search and functions.
//! Serialized, they are declarations of the Interactions API.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Functions that a model of a computer knows without a declaration, in a browser.
const COMPUTER_FUNCTIONS: [&str; 13] = [
    "click_at",
    "drag_and_drop",
    "go_back",
    "go_forward",
    "hover_at",
    "key_combination",
    "navigate",
    "open_web_browser",
    "scroll_at",
    "scroll_document",
    "search",
    "type_text_at",
    "wait_5_seconds",
];

/// A declared tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BuiltIn {
    UrlContext,
    GoogleMaps(GoogleMaps),
    FileSearch(FileSearch),
    McpServer(McpServer),
    /// The client's computer: its functions are called like the client's own.
    ComputerUse(ComputerUse),
    /// The server's own search for functions. One of the client is a function.
    ToolSearch,
}

impl BuiltIn {
    pub fn name(&self) -> &'static str {
        match self {
            BuiltIn::UrlContext => "url_context",
            BuiltIn::GoogleMaps(_) => "google_maps",
            BuiltIn::FileSearch(_) => "file_search",
            BuiltIn::McpServer(_) => "mcp_server",
            BuiltIn::ComputerUse(_) => "computer_use",
            BuiltIn::ToolSearch => "tool_search",
        }
    }

    /// Whether `generateContent` shows its calls.
    pub fn has_invocations(&self) -> bool {
        matches!(self, BuiltIn::UrlContext | BuiltIn::GoogleMaps(_) | BuiltIn::FileSearch(_))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GoogleMaps {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_widget: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSearch {
    /// `fileSearchStores/…`
    pub file_search_store_names: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_filter: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpServer {
    pub name: String,
    pub url: String,
    /// Usually with a credential.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_tools: Vec<AllowedTools>,
}

impl fmt::Debug for McpServer {
    /// Omits the headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("McpServer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl McpServer {
    /// Whether the client allows a tool of the server.
    pub fn allows(&self, tool: &str) -> bool {
        let named = |allowed: &AllowedTools| {
            let is_named = allowed.tools.iter().any(|name| name == tool);
            allowed.mode.as_deref() != Some("none") && (is_named || allowed.tools.is_empty())
        };
        self.allowed_tools.is_empty() || self.allowed_tools.iter().any(named)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedTools {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputerUse {
    /// `browser`, `mobile` or `desktop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_predefined_functions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled_safety_policies: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_prompt_injection_detection: bool,
}

impl ComputerUse {
    /// Whether a model may call a function without its declaration. Google documents only the functions of
    /// browsers, so any may be one of another environment.
    pub fn has_function(&self, name: &str) -> bool {
        let in_browser = self.environment.as_deref().is_none_or(|place| place == "browser");
        let is_known = !in_browser || COMPUTER_FUNCTIONS.contains(&name);
        is_known && !self.excluded_predefined_functions.iter().any(|excluded| excluded == name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_declaration_reads_back() {
        for json in [
            json!({"type": "url_context"}),
            json!({"type": "google_maps", "latitude": 1.0, "longitude": 2.5, "enable_widget": true}),
            json!({"type": "file_search", "file_search_store_names": ["fileSearchStores/s"],
                   "metadata_filter": "a = 1", "top_k": 3}),
            json!({"type": "mcp_server", "name": "m", "url": "http://h/", "headers": {"a": "b"},
                   "allowed_tools": [{"mode": "auto", "tools": ["t"]}]}),
            json!({"type": "computer_use", "environment": "browser",
                   "excluded_predefined_functions": ["search"]}),
            json!({"type": "tool_search"}),
        ] {
            let tool: BuiltIn = serde_json::from_value(json.clone()).expect("it is one");
            assert_eq!(json["type"], tool.name());
            assert_eq!(json!(tool), json);
        }
    }

    #[test]
    fn a_computer_has_the_functions_of_its_environment() {
        let browser = ComputerUse {
            excluded_predefined_functions: vec!["search".into()],
            ..ComputerUse::default()
        };
        assert!(browser.has_function("click_at"));
        assert!(!browser.has_function("search") && !browser.has_function("long_press_at"));
        let mobile = ComputerUse { environment: Some("mobile".into()), ..browser };
        assert!(mobile.has_function("long_press_at") && !mobile.has_function("search"));
    }

    #[test]
    fn the_debug_output_has_no_headers() {
        let headers = BTreeMap::from([("authorization".to_owned(), "secret".to_owned())]);
        let server = McpServer { name: "m".into(), headers, ..McpServer::default() };
        let debug = format!("{:?}", BuiltIn::McpServer(server));
        assert!(debug.contains('m') && !debug.contains("secret"), "{debug}");
    }

    #[test]
    fn a_server_without_a_list_allows_all_its_tools() {
        let allowing = |allowed_tools| McpServer { allowed_tools, ..McpServer::default() };
        let of = |mode: &str, tools: &[&str]| AllowedTools {
            mode: Some(mode.to_owned()),
            tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        };
        assert!(allowing(Vec::new()).allows("f"));
        assert!(allowing(vec![of("auto", &["f"])]).allows("f"));
        assert!(allowing(vec![of("auto", &[])]).allows("f"));
        assert!(!allowing(vec![of("auto", &["g"])]).allows("f"));
        assert!(!allowing(vec![of("none", &["f"])]).allows("f"));
    }
}
