//! Steps of an interaction as the server writes them, whole and as deltas of a stream.

use serde_json::{Value, json};
use strum::VariantNames as _;

use crate::http::openapi::schema::{
    ComponentSchemas, Schema, answer, any_of, base64, count, list, only, text, word,
};
use domain::interaction::{MediaKind, RetrievalStatus, ServerTool};

pub static SHOWN_STEP: Schema = Schema::new("ShownStep", shown_step);
static SHOWN_CONTENT: Schema = Schema::new("ShownContent", shown_content);
pub static DELTA: Schema = Schema::new("Delta", delta);

fn shown_step(schemas: &ComponentSchemas) -> Value {
    let contents = || list(schemas.named(&SHOWN_CONTENT));
    let string = || json!({"type": "string"});
    let thought = json!({"type": only("thought"), "signature": signature(), "summary": contents()});
    let function_call = json!({
        "type": only("function_call"),
        "id": string(),
        "signature": signature(),
        "name": string(),
        "arguments": {"type": "object"},
    });
    let function_result = json!({
        "type": only("function_result"),
        "call_id": string(),
        "name": string(),
        "is_error": {"type": "boolean"},
        "result": {},
    });
    any_of(&[
        answer(&[], json!({"type": only("user_input"), "content": contents()})),
        answer(&[], json!({"type": only("model_output"), "content": contents()})),
        answer(&["summary"], thought),
        answer(&[], code_call()),
        answer(&[], code_result()),
        answer(&[], function_call),
        answer(&["name"], function_result),
        answer(&[], search_call()),
        answer(&[], search_result()),
        json!({
            "type": "object",
            "description": "A step of one of Google's other tools, or data of another server that the client sent, \
                            unchanged.",
            "required": ["type"],
            "properties": {"type": {"type": "string", "not": {"enum": [
                "user_input", "thought", "code_execution_result", "function_call",
                "function_result"]}}},
        }),
    ])
}

fn delta(_: &ComponentSchemas) -> Value {
    let citation = |kind: &str, fields: &[&str]| {
        let mut citation = json!({
            "type": only(kind),
            "start_index": count("Start in the text, in bytes."),
            "end_index": count("End in the text, in bytes."),
        });
        for name in fields {
            citation[*name] = json!({"type": "string"});
        }
        answer(&[], citation)
    };
    let annotations = list(any_of(&[
        citation("url_citation", &["url", "title"]),
        citation("place_citation", &["url", "name", "place_id"]),
        citation("file_citation", &["document_uri", "file_name"]),
    ]));
    let arguments = text("A fragment of the JSON.");
    any_of(&[
        answer(&[], json!({"type": only("thought_summary"), "content": shown_text()})),
        answer(&[], json!({"type": only("thought_signature"), "signature": signature()})),
        answer(&[], json!({"type": only("text"), "text": {"type": "string"}})),
        shown_media(json!({"data": base64("An image that the code made.")})),
        answer(&[], without(code_call(), "id")),
        answer(&[], without(code_result(), "call_id")),
        answer(&[], without(search_call(), "id")),
        answer(&[], without(search_result(), "call_id")),
        answer(&[], json!({"type": only("text_annotation_delta"), "annotations": annotations})),
        answer(&[], json!({"type": only("arguments_delta"), "arguments": arguments})),
        any_of(&tool_deltas()),
    ])
}

/// The whole call or result of one of Google's other tools.
fn tool_deltas() -> Vec<Value> {
    let string = || json!({"type": "string"});
    let arguments = |name: &str| answer(&[], json!({name: list(string())}));
    let url = json!({"url": string(), "status": word(RetrievalStatus::VARIANTS),
                     "title": string(), "text": text("Of this server alone.")});
    let review = json!({"title": string(), "url": string(), "review_id": string()});
    let place = json!({"name": string(), "place_id": string(), "url": string(),
                       "review_snippets": list(answer(&[], review))});
    let places = json!({"places": list(answer(&["review_snippets"], place)),
                        "widget_context_token": string()});
    let excerpt = json!({"title": string(), "text": string(), "file_search_store": string(),
                         "document_uri": string(), "custom_metadata": list(json!({}))});
    let mcp = || json!({"name": string(), "server_name": string()});
    let (mut mcp_call, mut mcp_result) = (mcp(), mcp());
    mcp_call["arguments"] = json!({"type": "object"});
    mcp_result["result"] = json!({"description": "As the MCP server returned it."});
    let deltas = [
        (
            ServerTool::UrlContext,
            json!({"arguments": arguments("urls")}),
            json!({
            "is_error": {"type": "boolean"}, "result": list(answer(&["title", "text"], url))}),
        ),
        (
            ServerTool::GoogleMaps,
            json!({"arguments": arguments("queries")}),
            json!({
            "result": list(answer(&["widget_context_token"], places))}),
        ),
        (
            ServerTool::FileSearch,
            json!({}),
            json!({
            "result": list(answer(&["document_uri", "custom_metadata"], excerpt))}),
        ),
        (ServerTool::McpServer, mcp_call, mcp_result),
        (
            ServerTool::ToolSearch,
            json!({"arguments": arguments("function_names")}),
            json!({
            "result": list(json!({"type": "object"}))}),
        ),
    ];
    let of_tool = |(tool, mut call, mut result): (ServerTool, Value, Value)| {
        call["type"] = only(tool.call_type());
        result["type"] = only(tool.result_type());
        if tool != ServerTool::McpServer {
            call["signature"] = signature();
            result["signature"] = signature();
        }
        [answer(&[], call), answer(&[], result)]
    };
    deltas.into_iter().flat_map(of_tool).collect()
}

fn shown_content(_: &ComponentSchemas) -> Value {
    any_of(&[
        shown_text(),
        shown_media(json!({"data": base64("The data.")})),
        shown_media(json!({"uri": {"type": "string"}})),
        json!({
            "type": "object",
            "description": "Data of another server, unchanged.",
            "required": ["type"],
            "properties": {"type": {"not": {
                "enum": ["text", "image", "audio", "video", "document"]}}},
        }),
    ])
}

fn shown_text() -> Value {
    answer(
        &["annotations"],
        json!({
            "type": only("text"), "text": {"type": "string"}, "annotations": list(json!({})),
        }),
    )
}

fn shown_media(mut fields: Value) -> Value {
    fields["type"] = word(MediaKind::VARIANTS);
    fields["mime_type"] = json!({"type": "string"});
    answer(&["mime_type"], fields)
}

fn signature() -> Value {
    text("Opaque and constant. Send it back unchanged.")
}

fn code_call() -> Value {
    let arguments = json!({"language": only("python"), "code": {"type": "string"}});
    json!({
        "type": only("code_execution_call"),
        "id": {"type": "string"},
        "signature": signature(),
        "arguments": answer(&[], arguments),
    })
}

fn code_result() -> Value {
    json!({
        "type": only("code_execution_result"),
        "call_id": {"type": "string"},
        "signature": signature(),
        "is_error": {"type": "boolean"},
        "result": {"type": "string"},
    })
}

fn search_call() -> Value {
    json!({
        "type": only("google_search_call"),
        "id": {"type": "string"},
        "signature": signature(),
        "arguments": answer(&[], json!({"queries": list(json!({"type": "string"}))})),
    })
}

fn search_result() -> Value {
    let page = json!({
        "title": {"type": "string"},
        "url": {"type": "string"},
        "snippet": {"type": "string"},
    });
    let found = any_of(&[
        answer(&[], json!({"search_suggestions": text("HTML to display with the answer.")})),
        answer(&[], page),
    ]);
    json!({
        "type": only("google_search_result"),
        "call_id": {"type": "string"},
        "signature": signature(),
        "is_error": {"type": "boolean"},
        "result": list(found),
    })
}

fn without(mut fields: Value, name: &str) -> Value {
    fields.as_object_mut().map(|fields| fields.remove(name));
    fields
}
