//! Runs the tools of a model that are no code and no web search. A failure is a result too: the model may
//! continue without it.

mod file_search;
mod url_context;

use serde_json::{Value, json};

use super::RunError;
use crate::engine::input::fetch::Fetcher;
use backend::{Function, Prompt};
use domain::interaction::{ToolRequest, ToolResult};
use resources::budget::Budget;
use store::{FileSearchStores, Owner};

/// What the tools of an interaction may use.
#[derive(Debug)]
pub struct ToolRunner {
    pub fetcher: Fetcher,
    pub stores: FileSearchStores,
    pub owner: Owner,
    pub budget: Budget,
}

impl ToolRunner {
    pub async fn run(
        &self,
        request: &ToolRequest,
        prompt: &Prompt,
    ) -> Result<ToolResult, RunError> {
        Ok(match request {
            ToolRequest::UrlContext { urls } => {
                ToolResult::UrlContext(url_context::read(&self.fetcher, urls, &self.budget).await)
            }
            // There is no map here.
            ToolRequest::GoogleMaps { .. } => {
                ToolResult::GoogleMaps { places: Vec::new(), widget_context_token: None }
            }
            ToolRequest::FileSearch { query } => {
                ToolResult::FileSearch(file_search::find(self, query.as_deref(), prompt).await?)
            }
            ToolRequest::McpServer { server, name, .. } => ToolResult::McpServer {
                server: server.clone(),
                name: name.clone(),
                result: json!([{"type": "text", "text": "This server calls no MCP servers."}]),
            },
            ToolRequest::ToolSearch { functions } => {
                let named = |function: &&Function| functions.contains(&function.name);
                let found = prompt.tools.functions.iter().filter(named);
                ToolResult::ToolSearch(found.map(declaration).collect())
            }
        })
    }
}

/// A function as the client declared it.
fn declaration(function: &Function) -> Value {
    let mut json = json!({"type": "function", "name": function.name});
    if let Some(description) = &function.description {
        json["description"] = description.as_str().into();
    }
    if let Some(parameters) = &function.parameters {
        json["parameters"] = parameters.clone();
    }
    json
}
