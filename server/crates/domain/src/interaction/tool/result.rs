//! What tools return.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{ServerTool, object};
use crate::interaction::step::{CitedSource, SourceKind};

/// What a tool returned.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolResult {
    UrlContext(Vec<RetrievedUrl>),
    GoogleMaps {
        places: Vec<MapPlace>,
        widget_context_token: Option<String>,
    },
    FileSearch(Vec<FileExcerpt>),
    /// A string, an object, or a list of contents, as the MCP server returned it.
    McpServer {
        server: String,
        name: String,
        result: Value,
    },
    /// Declarations of functions.
    ToolSearch(Vec<Value>),
}

/// A URL that was read, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(expecting = "a map with the keys `url`, `status`, `title` and `text`")]
pub struct RetrievedUrl {
    pub url: String,
    #[serde(default)]
    pub status: RetrievalStatus,
    /// The content, which only this server adds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    IntoStaticStr,
    EnumString,
    VariantNames,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum RetrievalStatus {
    #[default]
    Success,
    Error,
    Paywall,
    Unsafe,
}

/// A place of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "a place with `name`, `place_id` and `url`")]
pub struct MapPlace {
    pub name: String,
    pub place_id: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub review_snippets: Vec<ReviewSnippet>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "a review with `title`, `url` and `review_id`")]
pub struct ReviewSnippet {
    pub title: String,
    pub url: String,
    pub review_id: String,
}

/// A part of a document that was found in a file search store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an excerpt with `title`, `text` and `file_search_store`")]
pub struct FileExcerpt {
    pub title: String,
    pub text: String,
    pub file_search_store: String,
    /// The name of the document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_metadata: Vec<Value>,
}

impl ToolResult {
    pub fn tool(&self) -> ServerTool {
        match self {
            ToolResult::UrlContext(_) => ServerTool::UrlContext,
            ToolResult::GoogleMaps { .. } => ServerTool::GoogleMaps,
            ToolResult::FileSearch(_) => ServerTool::FileSearch,
            ToolResult::McpServer { .. } => ServerTool::McpServer,
            ToolResult::ToolSearch(_) => ServerTool::ToolSearch,
        }
    }

    pub(super) fn payload(&self) -> Map<String, Value> {
        let payload = match self {
            ToolResult::UrlContext(urls) => {
                let none = urls.iter().all(|url| url.status != RetrievalStatus::Success);
                json!({"is_error": none && !urls.is_empty(), "result": urls})
            }
            ToolResult::GoogleMaps { places, widget_context_token } => {
                let mut result = json!({"places": places});
                if let Some(token) = widget_context_token {
                    result["widget_context_token"] = token.as_str().into();
                }
                json!({"result": [result]})
            }
            ToolResult::FileSearch(found) => json!({"result": found}),
            ToolResult::McpServer { server, name, result } => {
                json!({"name": name, "server_name": server, "result": result})
            }
            ToolResult::ToolSearch(functions) => json!({"result": functions}),
        };
        object(payload)
    }

    pub(super) fn to_json(&self) -> Value {
        Value::Object(self.payload())
    }

    /// The result in a step, if it is one of such a tool. What cannot be read is left out, because clients and
    /// upstreams write these steps too.
    pub fn of_step(step: &Value) -> Option<ToolResult> {
        let result = &step["result"];
        Some(match ServerTool::answered_by(step)? {
            ServerTool::UrlContext => ToolResult::UrlContext(items(result)),
            ServerTool::GoogleMaps => {
                let found = result.as_array().into_iter().flatten();
                let token = found.clone().find_map(|found| found["widget_context_token"].as_str());
                ToolResult::GoogleMaps {
                    places: found.flat_map(|found| items(&found["places"])).collect(),
                    widget_context_token: token.map(str::to_owned),
                }
            }
            ServerTool::FileSearch => ToolResult::FileSearch(items(result)),
            ServerTool::McpServer => {
                let name = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
                ToolResult::McpServer {
                    server: name("server_name"),
                    name: name("name"),
                    result: result.clone(),
                }
            }
            ServerTool::ToolSearch => {
                ToolResult::ToolSearch(result.as_array().cloned().unwrap_or_default())
            }
        })
    }

    /// What a text may cite.
    pub fn sources(&self) -> Vec<CitedSource> {
        match self {
            ToolResult::UrlContext(urls) => {
                let read = urls.iter().filter(|url| url.status == RetrievalStatus::Success);
                read.map(RetrievedUrl::source).collect()
            }
            ToolResult::GoogleMaps { places, .. } => places.iter().map(MapPlace::source).collect(),
            ToolResult::FileSearch(found) => found.iter().map(FileExcerpt::source).collect(),
            ToolResult::McpServer { .. } | ToolResult::ToolSearch(_) => Vec::new(),
        }
    }
}

impl RetrievedUrl {
    pub fn source(&self) -> CitedSource {
        let title = if self.title.is_empty() { &self.url } else { &self.title };
        CitedSource { title: title.clone(), url: self.url.clone(), kind: SourceKind::Page }
    }
}

impl MapPlace {
    pub fn source(&self) -> CitedSource {
        let kind = SourceKind::Place(self.place_id.clone());
        CitedSource { title: self.name.clone(), url: self.url.clone(), kind }
    }
}

impl FileExcerpt {
    pub fn source(&self) -> CitedSource {
        let url = self.document_uri.as_ref().unwrap_or(&self.file_search_store);
        CitedSource { title: self.title.clone(), url: url.clone(), kind: SourceKind::Document }
    }
}

fn items<T: serde::de::DeserializeOwned>(list: &Value) -> Vec<T> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| T::deserialize(item).ok()).collect()
}
