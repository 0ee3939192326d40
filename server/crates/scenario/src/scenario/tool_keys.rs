//! The values of parts that use a tool of the server.

use serde::de::{DeserializeOwned, Error as _, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use domain::interaction::{
    FileExcerpt, MapPlace, RetrievedUrl, ServerTool, ToolRequest, ToolResult, ToolUse,
};

/// The store of an excerpt that does not name one.
const NO_STORE: &str = "fileSearchStores/scenario";

/// A part of one of the tools, before or after its templates are filled.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolKeys {
    UrlContext(UrlContextKeys),
    GoogleMaps(GoogleMapsKeys),
    FileSearch(FileSearchKeys),
    McpServer(McpServerKeys),
    ToolSearch(ToolSearchKeys),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the keys `urls` and `results`")]
pub struct UrlContextKeys {
    urls: Vec<String>,
    /// Absent if the server reads the URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    results: Option<Vec<Strict<RetrievedUrl>>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with the keys `queries`, `places` and `widget_context_token`"
)]
pub struct GoogleMapsKeys {
    queries: Vec<String>,
    #[serde(default)]
    places: Vec<Strict<MapPlace>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    widget_context_token: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the keys `query` and `results`")]
pub struct FileSearchKeys {
    /// Absent for the user's newest text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// Absent if the server searches its stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    results: Option<Vec<ExcerptKeys>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with the keys `title`, `text`, `file_search_store` and `document_uri`"
)]
struct ExcerptKeys {
    title: String,
    text: String,
    #[serde(default = "no_store")]
    file_search_store: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    document_uri: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a map with the keys `server`, `name`, `arguments` and `result`"
)]
pub struct McpServerKeys {
    server: String,
    name: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    /// Absent if the server calls the MCP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with the key `function_names`")]
pub struct ToolSearchKeys {
    function_names: Vec<String>,
}

/// A value of which every name is known. The types of steps ignore names that they do not know, because other
/// servers write steps too.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Strict<T>(T);

impl<'de, T: DeserializeOwned + Serialize> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict<T>, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let read: T = T::deserialize(&written).map_err(D::Error::custom)?;
        match unknown_name(&written, &json!(read)) {
            Some(name) => Err(D::Error::custom(format!("unknown field `{name}`"))),
            None => Ok(Strict(read)),
        }
    }
}

/// A name whose value has content and was not read.
fn unknown_name<'w>(written: &'w Value, read: &Value) -> Option<&'w str> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            written.iter().find_map(|(name, value)| {
                let is_empty = matches!(value, Value::Null) || value == "" || value == &json!([]);
                match read.get(name) {
                    Some(read) => unknown_name(value, read),
                    None => (!is_empty).then_some(name),
                }
            })
        }
        (Value::Array(written), Value::Array(read)) => {
            written.iter().zip(read).find_map(|(written, read)| unknown_name(written, read))
        }
        _ => None,
    }
}

fn no_store() -> String {
    NO_STORE.to_owned()
}

/// The value of the part that uses a tool like this, for recordings.
pub fn tool_part(used: ToolUse) -> Value {
    let keys = ToolKeys::from(used).into_json();
    let value = keys.as_object().and_then(|keys| keys.values().next().cloned());
    value.unwrap_or_default()
}

impl From<ToolUse> for ToolKeys {
    fn from(ToolUse { request, result }: ToolUse) -> ToolKeys {
        match (request, result) {
            (ToolRequest::UrlContext { urls }, result) => {
                let results = match result {
                    Some(ToolResult::UrlContext(urls)) => {
                        Some(urls.into_iter().map(Strict).collect())
                    }
                    _ => None,
                };
                ToolKeys::UrlContext(UrlContextKeys { urls, results })
            }
            (ToolRequest::GoogleMaps { queries }, result) => {
                let (places, widget_context_token) = match result {
                    Some(ToolResult::GoogleMaps { places, widget_context_token }) => {
                        (places.into_iter().map(Strict).collect(), widget_context_token)
                    }
                    _ => (Vec::new(), None),
                };
                ToolKeys::GoogleMaps(GoogleMapsKeys { queries, places, widget_context_token })
            }
            (ToolRequest::FileSearch { query }, result) => {
                let results = match result {
                    Some(ToolResult::FileSearch(found)) => {
                        Some(found.into_iter().map(ExcerptKeys::from).collect())
                    }
                    _ => None,
                };
                ToolKeys::FileSearch(FileSearchKeys { query, results })
            }
            (ToolRequest::McpServer { server, name, arguments }, result) => {
                let result = match result {
                    Some(ToolResult::McpServer { result, .. }) => Some(result),
                    _ => None,
                };
                let arguments = arguments.as_object().cloned().unwrap_or_default();
                ToolKeys::McpServer(McpServerKeys { server, name, arguments, result })
            }
            (ToolRequest::ToolSearch { functions }, _) => {
                ToolKeys::ToolSearch(ToolSearchKeys { function_names: functions })
            }
        }
    }
}

impl From<FileExcerpt> for ExcerptKeys {
    fn from(found: FileExcerpt) -> ExcerptKeys {
        let FileExcerpt { title, text, file_search_store, document_uri, .. } = found;
        ExcerptKeys { title, text, file_search_store, document_uri }
    }
}

impl ToolKeys {
    /// Reads the value of a part with the name of a tool.
    pub fn read<'de, A: MapAccess<'de>>(
        tool: ServerTool,
        map: &mut A,
    ) -> Result<ToolKeys, A::Error> {
        Ok(match tool {
            ServerTool::UrlContext => ToolKeys::UrlContext(map.next_value()?),
            ServerTool::GoogleMaps => ToolKeys::GoogleMaps(map.next_value()?),
            ServerTool::FileSearch => ToolKeys::FileSearch(map.next_value()?),
            ServerTool::McpServer => ToolKeys::McpServer(map.next_value()?),
            ServerTool::ToolSearch => ToolKeys::ToolSearch(map.next_value()?),
        })
    }

    pub fn into_json(self) -> Value {
        json!(self)
    }

    pub fn into_use(self) -> ToolUse {
        let (request, result) = match self {
            ToolKeys::UrlContext(UrlContextKeys { urls, results }) => {
                let results = results.map(|urls| urls.into_iter().map(|Strict(url)| url).collect());
                (ToolRequest::UrlContext { urls }, results.map(ToolResult::UrlContext))
            }
            ToolKeys::GoogleMaps(GoogleMapsKeys { queries, places, widget_context_token }) => {
                let places = places.into_iter().map(|Strict(place)| place).collect();
                let result = ToolResult::GoogleMaps { places, widget_context_token };
                (ToolRequest::GoogleMaps { queries }, Some(result))
            }
            ToolKeys::FileSearch(FileSearchKeys { query, results }) => {
                let excerpt =
                    |ExcerptKeys { title, text, file_search_store, document_uri }| FileExcerpt {
                        title,
                        text,
                        file_search_store,
                        document_uri,
                        custom_metadata: Vec::new(),
                    };
                let results = results.map(|found| found.into_iter().map(excerpt).collect());
                (ToolRequest::FileSearch { query }, results.map(ToolResult::FileSearch))
            }
            ToolKeys::McpServer(McpServerKeys { server, name, arguments, result }) => {
                let result = result.map(|result| ToolResult::McpServer {
                    server: server.clone(),
                    name: name.clone(),
                    result,
                });
                (ToolRequest::McpServer { server, name, arguments: arguments.into() }, result)
            }
            ToolKeys::ToolSearch(ToolSearchKeys { function_names }) => {
                (ToolRequest::ToolSearch { functions: function_names }, None)
            }
        };
        ToolUse { request, result }
    }
}
