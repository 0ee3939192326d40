//! Google's tools beside code execution and web search, as the interactions API declares them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::WireError;
use super::super::json_reader::{Node, ObjectReader};
use backend::{AllowedTools, BuiltIn, ComputerUse, FileSearch, GoogleMaps, McpServer, Tools};
use search::Filter;

/// Maximum number of stores that one request searches.
pub const MAX_STORES: usize = 10;
/// Maximum number of passages of one search.
pub const MAX_TOP_K: i64 = 100;
/// Maximum number of MCP servers in a request, and of headers for each.
pub const MAX_MCP_SERVERS: usize = 10;
pub const MAX_HEADERS: usize = 32;
/// Words of `environment`.
pub const ENVIRONMENTS: [&str; 3] = ["browser", "mobile", "desktop"];
pub const POLICIES: [&str; 7] = [
    "financial_transactions",
    "sensitive_data_modification",
    "communication_tool",
    "account_creation",
    "data_modification",
    "user_consent_management",
    "legal_terms_and_agreements",
];
/// Modes in which tools are allowed.
pub const MODES: [&str; 4] = ["auto", "any", "none", "validated"];

/// Our message: the real service's is not known.
const WITH_FILE_SEARCH: &str = "The tool 'file_search' cannot be combined with 'google_search' or \
                                'url_context' in one request.";

/// Reads a tool of this type, if there is one.
pub fn read(kind: &str, mut fields: ObjectReader) -> Result<Option<BuiltIn>, WireError> {
    let tool = match kind {
        "url_context" => BuiltIn::UrlContext,
        "google_maps" => BuiltIn::GoogleMaps(google_maps(&mut fields)?),
        "file_search" => BuiltIn::FileSearch(file_search(&mut fields)?),
        "mcp_server" => BuiltIn::McpServer(mcp_server(&mut fields)?),
        "computer_use" => BuiltIn::ComputerUse(computer_use(&mut fields)?),
        _ => return Ok(None),
    };
    fields.done()?;
    Ok(Some(tool))
}

fn google_maps(fields: &mut ObjectReader) -> Result<GoogleMaps, WireError> {
    Ok(GoogleMaps {
        latitude: fields.take("latitude").map(|node| degrees(&node, 90.0)).transpose()?,
        longitude: fields.take("longitude").map(|node| degrees(&node, 180.0)).transpose()?,
        enable_widget: fields.boolean("enable_widget")?.unwrap_or(false),
    })
}

fn degrees(node: &Node, most: f64) -> Result<f64, WireError> {
    in_degrees(node.number()?, node, most)
}

pub fn in_degrees(degrees: f64, node: &Node, most: f64) -> Result<f64, WireError> {
    let is_valid = (-most..=most).contains(&degrees);
    if is_valid {
        Ok(degrees)
    } else {
        Err(node.wrong(format!("must be between -{most} and {most}")))
    }
}

fn file_search(fields: &mut ObjectReader) -> Result<FileSearch, WireError> {
    let top_k = fields.take("top_k").map(|node| node.integer().and_then(|k| top_k(k, &node)));
    Ok(FileSearch {
        file_search_store_names: store_names(fields.require("file_search_store_names")?)?,
        metadata_filter: fields.take("metadata_filter").map(filter).transpose()?,
        top_k: top_k.transpose()?,
    })
}

pub fn store_names(node: Node) -> Result<Vec<String>, WireError> {
    let amount = node.wrong(format!("must name 1 to {MAX_STORES} stores"));
    let nodes = node.list()?;
    if nodes.is_empty() || nodes.len() > MAX_STORES {
        return Err(amount);
    }
    nodes.into_iter().map(store_name).collect()
}

fn store_name(node: Node) -> Result<String, WireError> {
    let wrong = node.wrong("expected the name of a store, such as fileSearchStores/abc");
    let name = node.string()?;
    let is_name = name.strip_prefix("fileSearchStores/").is_some_and(|id| !id.is_empty());
    if is_name { Ok(name) } else { Err(wrong) }
}

pub fn filter(node: Node) -> Result<String, WireError> {
    let Value::String(text) = node.value() else { return Err(node.not("a string")) };
    match Filter::parse(text) {
        Ok(_) => node.string(),
        Err(error) => Err(node.wrong(error.to_string())),
    }
}

pub fn top_k(k: i64, node: &Node) -> Result<u32, WireError> {
    match u32::try_from(k) {
        Ok(wanted) if (1..=MAX_TOP_K).contains(&k) => Ok(wanted),
        _ => Err(node.wrong(format!("must be between 1 and {MAX_TOP_K}"))),
    }
}

fn mcp_server(fields: &mut ObjectReader) -> Result<McpServer, WireError> {
    let allowed = fields.take("allowed_tools").map(Node::list).transpose()?.unwrap_or_default();
    // For a tool search, which gives the model all functions here.
    fields.boolean("defer_loading")?;
    Ok(McpServer {
        name: server_name(fields.require("name")?)?,
        url: server_url(fields.require("url")?)?,
        headers: fields.take("headers").map(headers).transpose()?.unwrap_or_default(),
        allowed_tools: allowed.into_iter().map(allowed_tools).collect::<Result<_, _>>()?,
    })
}

/// Like the real service, refuses hyphens.
pub fn server_name(node: Node) -> Result<String, WireError> {
    let hyphen = node.wrong("the name of an MCP server must not have a '-'");
    let name = super::name(node)?;
    if name.contains('-') { Err(hyphen) } else { Ok(name) }
}

pub fn server_url(node: Node) -> Result<String, WireError> {
    let wrong = node.wrong("expected the URL of an MCP server");
    let url = node.string()?;
    if parse::url::is_http(&url) { Ok(url) } else { Err(wrong) }
}

pub fn headers(node: Node) -> Result<BTreeMap<String, String>, WireError> {
    let amount = node.wrong(format!("at most {MAX_HEADERS} headers are allowed"));
    let texts = node.wrong("every header must be a string");
    let object = node.not("an object");
    let Value::Object(headers) = node.into_value() else { return Err(object) };
    if headers.len() > MAX_HEADERS {
        return Err(amount);
    }
    let headers = headers.into_iter().map(|(name, value)| match value {
        Value::String(value) => Some((name, value)),
        _ => None,
    });
    headers.collect::<Option<_>>().ok_or(texts)
}

fn allowed_tools(node: Node) -> Result<AllowedTools, WireError> {
    let mut fields = node.object()?;
    let mode = fields.take("mode").map(|mode| mode.one_of(&MODES)).transpose()?;
    let tools = fields.take("tools").map(strings).transpose()?.unwrap_or_default();
    fields.done()?;
    Ok(AllowedTools { mode, tools })
}

fn computer_use(fields: &mut ObjectReader) -> Result<ComputerUse, WireError> {
    let environment = fields.take("environment").map(|node| node.one_of(&ENVIRONMENTS));
    let excluded = fields.take("excluded_predefined_functions").map(strings);
    let disabled = fields.take("disabled_safety_policies").map(Node::list).transpose()?;
    let disabled = disabled.unwrap_or_default().into_iter().map(|node| node.one_of(&POLICIES));
    Ok(ComputerUse {
        environment: environment.transpose()?,
        excluded_predefined_functions: excluded.transpose()?.unwrap_or_default(),
        disabled_safety_policies: disabled.collect::<Result<_, _>>()?,
        enable_prompt_injection_detection: fields
            .boolean("enable_prompt_injection_detection")?
            .unwrap_or(false),
    })
}

pub fn strings(node: Node) -> Result<Vec<String>, WireError> {
    node.list()?.into_iter().map(Node::string).collect()
}

/// Adds a tool to those of a request. The same tool may be declared again.
pub fn offer(tools: &mut Tools, tool: BuiltIn) -> Result<(), WireError> {
    let servers = tools.built_in.iter().filter(|other| matches!(other, BuiltIn::McpServer(_)));
    if let BuiltIn::McpServer(server) = &tool {
        let named = |other: &BuiltIn| matches!(other, BuiltIn::McpServer(other) if other.name == server.name);
        if servers.count() >= MAX_MCP_SERVERS {
            let why =
                format!("At most {MAX_MCP_SERVERS} MCP servers can be declared in one request.");
            return Err(WireError::Whole(why));
        }
        if tools.built_in.iter().any(named) {
            return Err(WireError::Whole(format!(
                "MCP server '{}' is declared twice.",
                server.name
            )));
        }
    } else if let Some(other) = tools.built_in.iter().find(|other| other.name() == tool.name()) {
        return match *other == tool {
            true => Ok(()),
            false => {
                let name = tool.name();
                Err(WireError::Whole(format!(
                    "The tool '{name}' is declared twice, in different ways."
                )))
            }
        };
    }
    super::offer(tools, tool.name());
    tools.built_in.push(tool);
    Ok(())
}

/// Refuses a combination that the real service refuses.
pub fn check(tools: &Tools) -> Result<(), WireError> {
    let offers = |name: &str| tools.offered.iter().any(|offered| offered == name);
    match offers("file_search") && (offers("google_search") || offers("url_context")) {
        true => Err(WireError::Whole(WITH_FILE_SEARCH.to_owned())),
        false => Ok(()),
    }
}
