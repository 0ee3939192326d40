//! The steps of tools: written here, and read by [`ToolRequest::of_step`] and [`ToolResult::of_step`].

use serde_json::{Map, Value, json};

use super::{ToolRequest, ToolResult};
use crate::interaction::passthrough::PassthroughStep;

/// A step that is announced first, and whose whole payload follows in one delta.
#[derive(Debug)]
pub struct ToolStep {
    pub start: Value,
    pub delta: Value,
}

impl ToolStep {
    pub fn call(id: &str, signature: &str, request: &ToolRequest) -> ToolStep {
        let kind = request.tool().call_type();
        ToolStep::new(("id", id), kind, signature, request.payload())
    }

    pub fn result(call_id: &str, signature: &str, result: &ToolResult) -> ToolStep {
        let kind = result.tool().result_type();
        ToolStep::new(("call_id", call_id), kind, signature, result.payload())
    }

    /// Steps of MCP servers have no signature.
    fn new(
        (name, id): (&str, &str),
        kind: &str,
        signature: &str,
        payload: Map<String, Value>,
    ) -> ToolStep {
        let mut start = json!({name: id, "type": kind});
        let mut delta = json!({"type": kind});
        if !kind.starts_with("mcp_") {
            start["signature"] = "".into();
            delta["signature"] = signature.into();
        }
        for (name, value) in payload {
            delta[name] = value;
        }
        ToolStep { start, delta }
    }

    /// The whole step.
    pub fn into_value(self) -> Value {
        let mut step = PassthroughStep::new(self.start);
        step.add(&self.delta);
        step.into_value()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FileExcerpt, MapPlace, RetrievalStatus, RetrievedUrl};
    use super::*;

    fn uses() -> Vec<(ToolRequest, ToolResult)> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let url = RetrievedUrl {
            url: "https://a.org/".into(),
            status: RetrievalStatus::Success,
            title: "A".into(),
            text: "a".into(),
        };
        let place = MapPlace {
            name: "Café".into(),
            place_id: "places/a".into(),
            url: "https://maps.example/a".into(),
            review_snippets: Vec::new(),
        };
        let excerpt = FileExcerpt {
            title: "a.txt".into(),
            text: "a".into(),
            file_search_store: "fileSearchStores/s".into(),
            document_uri: Some("fileSearchStores/s/documents/d".into()),
            custom_metadata: vec![json!({"key": "k", "string_value": "v"})],
        };
        let (server, name) = ("m".to_owned(), "f".to_owned());
        vec![
            (
                ToolRequest::UrlContext { urls: words(&["https://a.org/"]) },
                ToolResult::UrlContext(vec![url]),
            ),
            (
                ToolRequest::GoogleMaps { queries: words(&["café"]) },
                ToolResult::GoogleMaps {
                    places: vec![place],
                    widget_context_token: Some("t".into()),
                },
            ),
            (ToolRequest::FileSearch { query: None }, ToolResult::FileSearch(vec![excerpt])),
            (
                ToolRequest::McpServer {
                    server: server.clone(),
                    name: name.clone(),
                    arguments: json!({"a": 1}),
                },
                ToolResult::McpServer { server, name, result: json!("12 C") },
            ),
            (
                ToolRequest::ToolSearch { functions: words(&["f"]) },
                ToolResult::ToolSearch(vec![json!({"type": "function", "name": "f"})]),
            ),
        ]
    }

    #[test]
    fn a_step_that_was_written_reads_back() {
        for (request, result) in uses() {
            let call = ToolStep::call("c", "s", &request).into_value();
            assert_eq!(ToolRequest::of_step(&call), Some(request.clone()), "{call}");
            assert!(request.is_of(&call));
            let step = ToolStep::result("c", "s", &result).into_value();
            assert_eq!(ToolResult::of_step(&step), Some(result), "{step}");
            assert_eq!((&call["id"], &step["call_id"]), (&json!("c"), &json!("c")));
            assert_eq!(ToolResult::of_step(&call), None, "{call} is no result");
        }
        assert_eq!(ToolRequest::of_step(&json!({"type": "thought"})), None);
    }

    #[test]
    fn what_is_not_understood_of_a_result_is_left_out() {
        let step = json!({"type": "url_context_result", "call_id": "c",
                          "result": [7, {"url": 1}, {"url": "u", "status": "of_tomorrow"},
                                     {"url": "v", "status": "paywall", "new": 1}]});
        let Some(ToolResult::UrlContext(urls)) = ToolResult::of_step(&step) else {
            panic!("it is one")
        };
        assert_eq!(urls.len(), 1);
        assert_eq!(urls[0].status, RetrievalStatus::Paywall);
    }
}
