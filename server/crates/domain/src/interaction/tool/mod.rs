//! Tools that a server runs for the model beside code and web searches: what is asked of them, what they
//! return, and the steps of both.
//!
//! The steps are kept in Google's format, as those of an upstream are: the engine writes them once, and
//! otherwise only the client reads them, and a model.

mod result;
mod step;

use serde_json::{Map, Value, json};
use strum::{EnumIter, EnumString, IntoEnumIterator as _, IntoStaticStr, VariantNames};

use parse::json::JsonSize;

pub use result::{FileExcerpt, MapPlace, RetrievalStatus, RetrievedUrl, ReviewSnippet, ToolResult};
pub use step::ToolStep;

/// The name of a tool, as a request offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumIter, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ServerTool {
    UrlContext,
    GoogleMaps,
    FileSearch,
    McpServer,
    ToolSearch,
}

impl ServerTool {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The type of the step that calls it.
    pub fn call_type(self) -> &'static str {
        match self {
            ServerTool::UrlContext => "url_context_call",
            ServerTool::GoogleMaps => "google_maps_call",
            ServerTool::FileSearch => "file_search_call",
            ServerTool::McpServer => "mcp_server_tool_call",
            ServerTool::ToolSearch => "tool_search_call",
        }
    }

    pub fn result_type(self) -> &'static str {
        match self {
            ServerTool::UrlContext => "url_context_result",
            ServerTool::GoogleMaps => "google_maps_result",
            ServerTool::FileSearch => "file_search_result",
            ServerTool::McpServer => "mcp_server_tool_result",
            ServerTool::ToolSearch => "tool_search_result",
        }
    }

    fn called_by(step: &Value) -> Option<ServerTool> {
        let kind = step["type"].as_str()?;
        ServerTool::iter().find(|tool| tool.call_type() == kind)
    }

    fn answered_by(step: &Value) -> Option<ServerTool> {
        let kind = step["type"].as_str()?;
        ServerTool::iter().find(|tool| tool.result_type() == kind)
    }
}

/// The use of a tool by a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolUse {
    pub request: ToolRequest,
    /// Absent if the server is to run the tool.
    pub result: Option<ToolResult>,
}

impl ToolUse {
    pub fn size(&self) -> JsonSize {
        let request = JsonSize::of(&Value::Object(self.request.payload()));
        let result = self.result.as_ref().map(|result| JsonSize::of(&result.to_json()));
        let result = result.unwrap_or_default();
        JsonSize {
            values: request.values + result.values,
            text_bytes: request.text_bytes + result.text_bytes,
        }
    }
}

/// What a model asks of a tool.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolRequest {
    UrlContext {
        urls: Vec<String>,
    },
    GoogleMaps {
        queries: Vec<String>,
    },
    /// The client does not see the query. Without one, the user's newest text is searched for.
    FileSearch {
        query: Option<String>,
    },
    McpServer {
        server: String,
        name: String,
        /// A JSON object.
        arguments: Value,
    },
    /// Functions that were declared but not loaded.
    ToolSearch {
        functions: Vec<String>,
    },
}

impl ToolRequest {
    pub fn tool(&self) -> ServerTool {
        match self {
            ToolRequest::UrlContext { .. } => ServerTool::UrlContext,
            ToolRequest::GoogleMaps { .. } => ServerTool::GoogleMaps,
            ToolRequest::FileSearch { .. } => ServerTool::FileSearch,
            ToolRequest::McpServer { .. } => ServerTool::McpServer,
            ToolRequest::ToolSearch { .. } => ServerTool::ToolSearch,
        }
    }

    /// The members of its step that depend on it.
    pub(super) fn payload(&self) -> Map<String, Value> {
        let payload = match self {
            ToolRequest::UrlContext { urls } => json!({"arguments": {"urls": urls}}),
            ToolRequest::GoogleMaps { queries } => json!({"arguments": {"queries": queries}}),
            ToolRequest::FileSearch { .. } => json!({}),
            ToolRequest::McpServer { server, name, arguments } => {
                json!({"name": name, "server_name": server, "arguments": arguments})
            }
            ToolRequest::ToolSearch { functions } => {
                json!({"arguments": {"function_names": functions}})
            }
        };
        object(payload)
    }

    /// The request of a step, if it calls such a tool.
    pub fn of_step(step: &Value) -> Option<ToolRequest> {
        let arguments = &step["arguments"];
        Some(match ServerTool::called_by(step)? {
            ServerTool::UrlContext => ToolRequest::UrlContext { urls: strings(&arguments["urls"]) },
            ServerTool::GoogleMaps => {
                ToolRequest::GoogleMaps { queries: strings(&arguments["queries"]) }
            }
            ServerTool::FileSearch => ToolRequest::FileSearch { query: None },
            ServerTool::McpServer => ToolRequest::McpServer {
                server: step["server_name"].as_str()?.to_owned(),
                name: step["name"].as_str()?.to_owned(),
                arguments: arguments.clone(),
            },
            ServerTool::ToolSearch => {
                ToolRequest::ToolSearch { functions: strings(&arguments["function_names"]) }
            }
        })
    }

    /// Whether a step may be the call of this request.
    pub fn is_of(&self, step: &Value) -> bool {
        let query = |request: ToolRequest| match request {
            ToolRequest::FileSearch { .. } => ToolRequest::FileSearch { query: None },
            other => other,
        };
        ToolRequest::of_step(step) == Some(query(self.clone()))
    }
}

fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn strings(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
