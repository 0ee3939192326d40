//! Tools that this server runs, as functions of a model: their declarations, calls and results.

use serde_json::{Value, json};

use backend::{BuiltIn, Function, Tools};
use domain::interaction::{CitedPages, CitedSource, RetrievalStatus, ToolRequest, ToolResult};

const URL_CONTEXT: &str = "url_context";
const FILE_SEARCH: &str = "file_search";

const ABOUT_PAGES: &str = "You can read web pages with the function url_context, such as those that the \
     user names. You get their text, each with a number.";
const ABOUT_FILES: &str = "You can search the user's documents with the function file_search. You get \
     excerpts, each with a number.";
const ABOUT_NUMBERS: &str = "Write such a number in brackets, such as [1], right after each statement that \
     you took from there, and say nothing as found that was not.";

/// What a model is told of its tools.
pub fn about(tools: &Tools) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for tool in &tools.built_in {
        match tool {
            BuiltIn::UrlContext => parts.push(ABOUT_PAGES),
            BuiltIn::FileSearch(_) => parts.push(ABOUT_FILES),
            _ => {}
        }
    }
    if !parts.is_empty() {
        parts.push(ABOUT_NUMBERS);
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

pub fn functions(tools: &Tools) -> Vec<Function> {
    let function = |name: &str, description: &str, parameters: Value| Function {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        parameters: Some(parameters),
    };
    let declared = tools.built_in.iter().filter_map(|tool| match tool {
        BuiltIn::UrlContext => Some(function(
            URL_CONTEXT,
            "Reads web pages.",
            json!({
                "type": "object",
                "properties": {"urls": {"type": "array", "items": {"type": "string"}}},
                "required": ["urls"],
            }),
        )),
        BuiltIn::FileSearch(_) => Some(function(
            FILE_SEARCH,
            "Searches the user's documents, and answers with numbered excerpts.",
            json!({
                "type": "object",
                "properties": {"query": {"type": "string"}},
                "required": ["query"],
            }),
        )),
        _ => None,
    });
    declared.collect()
}

/// Whether a function of this name is one of the tools.
pub fn is_offered(tools: &Tools, name: &str) -> bool {
    tools.built_in.iter().any(|tool| match tool {
        BuiltIn::UrlContext => name == URL_CONTEXT,
        BuiltIn::FileSearch(_) => name == FILE_SEARCH,
        _ => false,
    })
}

/// What a call of a tool asks. `words` reads the texts of an argument.
pub fn request(name: &str, words: impl Fn(&str) -> Vec<String>) -> Option<ToolRequest> {
    match name {
        URL_CONTEXT => {
            let urls = words("urls");
            (!urls.is_empty()).then_some(ToolRequest::UrlContext { urls })
        }
        FILE_SEARCH => Some(ToolRequest::FileSearch { query: words("query").into_iter().next() }),
        _ => None,
    }
}

/// The name and arguments of the function that makes a request; `None` for a tool that the model does not have.
pub fn call(request: &ToolRequest) -> Option<(String, Value)> {
    match request {
        ToolRequest::UrlContext { urls } => Some((URL_CONTEXT.to_owned(), json!({"urls": urls}))),
        ToolRequest::FileSearch { query } => {
            let arguments =
                query.as_ref().map_or_else(|| json!({}), |query| json!({"query": query}));
            Some((FILE_SEARCH.to_owned(), arguments))
        }
        _ => None,
    }
}

/// What the model reads of a result, with the numbers of its sources.
pub fn text_of(result: &ToolResult, sources: &mut CitedPages) -> String {
    let mut numbered = |source: CitedSource, text: &str| {
        let (title, url) = (source.title.clone(), source.url.clone());
        format!("[{}] {title}\n{url}\n{text}", sources.number(source))
    };
    let parts: Vec<String> = match result {
        ToolResult::UrlContext(urls) => {
            let page = |url: &domain::interaction::RetrievedUrl| match url.status {
                RetrievalStatus::Success => numbered(url.source(), &url.text),
                _ => format!("{} could not be read.", url.url),
            };
            urls.iter().map(page).collect()
        }
        ToolResult::FileSearch(found) => {
            found.iter().map(|excerpt| numbered(excerpt.source(), &excerpt.text)).collect()
        }
        ToolResult::GoogleMaps { places, .. } => {
            places.iter().map(|place| numbered(place.source(), "")).collect()
        }
        ToolResult::McpServer { result, .. } => vec![result.to_string()],
        ToolResult::ToolSearch(functions) => functions.iter().map(Value::to_string).collect(),
    };
    if parts.is_empty() { "Nothing was found.".to_owned() } else { parts.join("\n\n") }
}
