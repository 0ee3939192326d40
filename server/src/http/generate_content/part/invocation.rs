//! `toolCall` and `toolResponse`: what the server's own tools did, for clients that ask for it with
//! `includeServerSideToolInvocations`. They are the steps of the interactions API under other names.

use serde_json::{Map, Value, json};

use crate::http::wire::WireError;
use crate::http::wire::json_reader::ObjectReader;
use crate::http::wire::proto;
use domain::interaction::{RetrievalStatus, ServerTool};

const SEARCH: &str = "GOOGLE_SEARCH_WEB";

/// The name of a type of tool, and the beginning of the types of its steps.
const TYPES: [(&str, &str); 4] = [
    (SEARCH, "google_search"),
    ("URL_CONTEXT", "url_context"),
    ("GOOGLE_MAPS", "google_maps"),
    ("FILE_SEARCH", "file_search"),
];

/// The part of the call or result that a whole step or a delta of one describes. `None` for other steps.
pub fn of_step(id: &str, step: &Value) -> Option<Value> {
    let kind = step["type"].as_str()?;
    let (tool, name) = TYPES.into_iter().find(|(_, name)| kind.starts_with(name))?;
    let signature = step["signature"].as_str().filter(|signature| !signature.is_empty());
    let mut part = if kind.ends_with("_call") {
        let mut call = json!({"toolType": tool, "id": id});
        if let Some(arguments) = step.get("arguments") {
            call["args"] = arguments.clone();
        }
        json!({"toolCall": call})
    } else {
        let mut response = json!({"toolType": tool, "id": id});
        match name {
            "url_context" => response["response"] = json!({"url_metadata": urls(&step["result"])}),
            "google_search" => {
                let result = step["result"].as_array().into_iter().flatten();
                let html = result.clone().find_map(|found| found.get("search_suggestions"));
                response["response"] = match html {
                    Some(html) => json!({"search_suggestions": html}),
                    None => json!({}),
                };
            }
            // Recorded without a response.
            _ => {}
        }
        json!({"toolResponse": response})
    };
    if let Some(signature) = signature.filter(|_| kind.ends_with("_call")) {
        part["thoughtSignature"] = signature.into();
    }
    Some(part)
}

fn urls(result: &Value) -> Vec<Value> {
    let read = result.as_array().into_iter().flatten();
    let url = |url: &Value| {
        let status = url["status"].as_str().unwrap_or_default().parse().unwrap_or_default();
        json!({"retrieved_url": url["url"], "url_retrieval_status": status_name(status)})
    };
    read.map(url).collect()
}

/// `URL_RETRIEVAL_STATUS_SUCCESS` and the like.
pub fn status_name(status: RetrievalStatus) -> String {
    let word: &str = status.into();
    format!("URL_RETRIEVAL_STATUS_{}", word.to_ascii_uppercase())
}

/// The step of a part that a client sends back. A tool without a step here is kept as it came.
pub fn read(
    whole: Value,
    mut fields: ObjectReader,
    is_call: bool,
    signature: Option<&str>,
) -> Result<Value, WireError> {
    let kind = fields.take("toolType").map(|node| proto::TOOL_TYPE.word(node)).transpose()?;
    let id = fields.string("id")?.unwrap_or_default();
    let payload = fields.object(if is_call { "args" } else { "response" })?;
    fields.done()?;
    let kind = kind.unwrap_or_default();
    let Some((_, name)) = TYPES.into_iter().find(|(tool, _)| *tool == kind) else {
        return Ok(whole);
    };
    let mut step = Map::new();
    let (kind, place) = if is_call { ("call", "id") } else { ("result", "call_id") };
    step.insert("type".to_owned(), format!("{name}_{kind}").into());
    step.insert(place.to_owned(), id.into());
    if let Some(signature) = signature {
        step.insert("signature".to_owned(), signature.into());
    }
    if !is_call {
        step.insert("result".to_owned(), result(name, &payload.unwrap_or_default()));
    } else if let Some(arguments) = payload {
        step.insert("arguments".to_owned(), arguments);
    }
    Ok(Value::Object(step))
}

fn result(name: &str, response: &Value) -> Value {
    match name {
        "url_context" => {
            let urls = response["url_metadata"].as_array().into_iter().flatten();
            let url = |url: &Value| {
                let status = url["url_retrieval_status"].as_str().unwrap_or_default();
                let status = status.trim_start_matches("URL_RETRIEVAL_STATUS_");
                json!({"url": url["retrieved_url"], "status": status.to_ascii_lowercase()})
            };
            urls.map(url).collect()
        }
        "google_search" => match response.get("search_suggestions") {
            Some(html) => json!([{"search_suggestions": html}]),
            None => json!([]),
        },
        _ => json!([]),
    }
}

/// Whether a step is of a tool that has such parts.
pub fn is_of(step: &Value) -> bool {
    let kind = step["type"].as_str().unwrap_or_default();
    let tools = [ServerTool::UrlContext, ServerTool::GoogleMaps, ServerTool::FileSearch];
    let search = ["google_search_call", "google_search_result"];
    tools.iter().any(|tool| tool.call_type() == kind || tool.result_type() == kind)
        || search.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::super::{PartData, read as read_part};
    use super::*;
    use crate::http::wire::json_reader::Node;

    #[test]
    fn a_part_becomes_the_step_that_it_came_from() {
        for step in [
            json!({"type": "url_context_call", "id": "c", "signature": "s",
                   "arguments": {"urls": ["http://h/"]}}),
            json!({"type": "url_context_result", "call_id": "c",
                   "result": [{"url": "http://h/", "status": "paywall"}]}),
            json!({"type": "google_search_call", "id": "c", "arguments": {"queries": ["q"]}}),
            json!({"type": "google_search_result", "call_id": "c",
                   "result": [{"search_suggestions": "<a>"}]}),
            json!({"type": "file_search_call", "id": "c", "signature": "s"}),
            json!({"type": "file_search_result", "call_id": "c", "result": []}),
        ] {
            assert!(is_of(&step));
            let part = of_step("c", &step).expect("it has one");
            let read = read_part(Node::root(part.clone())).expect("the server wrote it");
            assert_eq!(read.data, PartData::Passthrough(step), "{part}");
        }
        assert_eq!(of_step("c", &json!({"type": "mcp_server_tool_call"})), None);
    }

    #[test]
    fn parts_of_other_tools_are_kept_as_they_came() {
        let part = json!({"toolCall": {"toolType": "OF_TOMORROW", "id": "c"}});
        let read = read_part(Node::root(part.clone())).expect("it is accepted");
        assert_eq!(read.data, PartData::Passthrough(part));
        let wrong = json!({"toolCall": {"toolType": "URL_CONTEXT", "args": []}});
        let error = read_part(Node::root(wrong)).expect_err("it is rejected").to_string();
        assert!(error.contains("'toolCall.args': expected an object"), "{error}");
    }
}
