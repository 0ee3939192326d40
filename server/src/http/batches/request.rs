//! The body that creates a batch, and the lines of its file.

use serde_json::{Value, json};

use crate::http::cached_contents::request::display_name;
use crate::http::wire::WireError;
use crate::http::wire::json_reader::{Node, ObjectReader};
use crate::http::wire::proto;
use parse::json::parse;
use store::{BatchLine, MAX_BATCH_REQUESTS};

/// Maximum size of the JSON with which a client recognises a result.
const MAX_KEY_BYTES: usize = 64 << 10;
const WEBHOOKS: &str = "Webhooks are not supported by this server.";

/// A batch to be created.
#[derive(Debug)]
pub struct CreateBatch {
    pub display_name: String,
    pub input: BatchInput,
}

#[derive(Debug, PartialEq)]
pub enum BatchInput {
    Inline(Vec<BatchLine>),
    /// `files/abc`
    File(String),
}

/// Parses a request for the model in the URL.
pub fn create(model: &str, body: Value) -> Result<CreateBatch, WireError> {
    let mut fields = Node::root(body).object()?.camel()?;
    let mut batch = fields.require("batch")?.object()?.camel()?;
    fields.done()?;
    let display_name = batch.take("displayName").map(display_name).transpose()?;
    // Clients repeat the model of the URL. The name is the server's.
    for name in ["model", "name"] {
        batch.string(name)?;
    }
    if let Some(priority) = batch.take("priority") {
        proto::int64(&priority)?;
    }
    if batch.has("webhookConfig") {
        return Err(WireError::Absent(WEBHOOKS.to_owned()));
    }
    let mut input = batch.require("inputConfig")?.object()?.camel()?;
    batch.done()?;
    let neither = input.wrong("needs either 'requests' or 'fileName'");
    let (requests, file) = (input.take("requests"), input.string("fileName")?);
    input.done()?;
    let input = match (requests, file) {
        (Some(requests), None) => BatchInput::Inline(inline(model, requests.object()?.camel()?)?),
        (None, Some(file)) => BatchInput::File(file),
        _ => return Err(neither),
    };
    Ok(CreateBatch { display_name: display_name.unwrap_or_default(), input })
}

fn inline(model: &str, mut fields: ObjectReader) -> Result<Vec<BatchLine>, WireError> {
    let requests = fields.require("requests")?;
    fields.done()?;
    let empty = requests.wrong("it must not be empty");
    let many = requests.wrong(too_many());
    let requests = requests.list()?;
    if requests.is_empty() {
        return Err(empty);
    }
    if requests.len() > MAX_BATCH_REQUESTS {
        return Err(many);
    }
    requests.into_iter().map(|node| inline_line(model, node)).collect()
}

fn inline_line(model: &str, node: Node) -> Result<BatchLine, WireError> {
    let mut fields = node.object()?.camel()?;
    let long_key = fields.wrong(format!("its metadata is longer than {MAX_KEY_BYTES} bytes"));
    let metadata = fields.object("metadata")?;
    let request = fields.require("request")?;
    fields.done()?;
    if let Some(other) = other_model(model, request.value()) {
        return Err(request.wrong(format!("its model '{other}' is not that of the batch")));
    }
    if !request.value().is_object() {
        return Err(request.not("an object"));
    }
    let key = metadata.map(|metadata| metadata.to_string());
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_BYTES) {
        return Err(long_key);
    }
    Ok(BatchLine { key, request: request.into_value().to_string(), response: None })
}

pub fn too_many() -> String {
    format!("at most {MAX_BATCH_REQUESTS} requests are allowed")
}

/// The model of a request, if it is not that of its batch.
pub fn other_model<'r>(model: &str, request: &'r Value) -> Option<&'r str> {
    let name = request.get("model")?.as_str()?;
    (name.rsplit_once("models/").map_or(name, |(_, name)| name) != model).then_some(name)
}

/// The requests of a file. One that is malformed fails alone.
pub fn lines(file: &[u8]) -> Result<Vec<BatchLine>, WireError> {
    let mut lines = Vec::new();
    let texts = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for text in texts.filter(|text| !text.is_empty()) {
        if lines.len() == MAX_BATCH_REQUESTS {
            return Err(WireError::Whole(format!("Invalid file: {}.", too_many())));
        }
        lines.push(file_line(text));
    }
    if lines.is_empty() {
        Err(WireError::Whole("The file has no requests.".to_owned()))
    } else {
        Ok(lines)
    }
}

/// `{"key": "a", "request": {…}}`
fn file_line(text: &[u8]) -> BatchLine {
    let failed = |key, why: String| {
        // The number of an invalid argument.
        let response = json!({"error": {"code": 3, "message": why}}).to_string();
        BatchLine { key, request: String::new(), response: Some(response) }
    };
    let mut line = match parse(text) {
        Ok(line) => line,
        Err(error) => return failed(None, format!("Invalid JSON: {error}.")),
    };
    let key = line.get("key").map(Value::to_string);
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY_BYTES) {
        return failed(None, format!("Invalid key: longer than {MAX_KEY_BYTES} bytes."));
    }
    match line.get_mut("request") {
        Some(request @ Value::Object(_)) => {
            BatchLine { key, request: request.take().to_string(), response: None }
        }
        _ => failed(key, "Missing required parameter 'request'.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(batch: Value) -> Result<CreateBatch, String> {
        create("m", json!({"batch": batch})).map_err(|error| error.to_string())
    }

    fn with_requests(requests: Value) -> Value {
        json!({"displayName": "d", "inputConfig": {"requests": {"requests": requests}}})
    }

    #[test]
    fn requests_are_inline_or_in_a_file() {
        let request = json!({"contents": []});
        let batch = read(with_requests(json!([
            {"request": request, "metadata": {"key": "k"}}, {"request": {"model": "models/m"}}])));
        let BatchInput::Inline(lines) = batch.expect("it is valid").input else { panic!("inline") };
        assert_eq!(lines[0].key.as_deref(), Some(r#"{"key":"k"}"#));
        assert_eq!(lines[0].request, request.to_string());
        assert_eq!(lines[1].key, None);
        for name in ["fileName", "file_name"] {
            let batch = read(json!({"inputConfig": {name: "files/a"}, "priority": "1"}));
            assert_eq!(batch.expect("it is valid").input, BatchInput::File("files/a".into()));
        }
    }

    #[test]
    fn a_malformed_line_fails_alone() {
        let file = b"{\"key\": \"a\", \"request\": {\"x\": 1}}\r\n\n{\"key\": \"b\"}\nnonsense\n";
        let lines = lines(file).expect("it has lines");
        assert_eq!((lines.len(), lines[0].request.as_str()), (3, r#"{"x":1}"#));
        assert_eq!((lines[0].key.as_deref(), &lines[0].response), (Some("\"a\""), &None));
        for line in &lines[1..] {
            let response = line.response.as_deref().expect("it failed");
            assert!(response.starts_with(r#"{"error":{"code":3,"#), "{response}");
        }
        assert!(super::lines(b"\n \n").is_err(), "it has no lines");
    }

    #[test]
    fn an_invalid_batch_is_rejected_with_its_path() {
        for (batch, wanted) in [
            (json!({}), "Missing required parameter 'batch.inputConfig'."),
            (json!({"inputConfig": {}}), "needs either 'requests' or 'fileName'"),
            (
                json!({"displayName": "d".repeat(129), "inputConfig": {"fileName": "files/a"}}),
                "'batch.displayName': at most 128 characters are allowed",
            ),
            (with_requests(json!([])), "'batch.inputConfig.requests.requests': it must not be"),
            (with_requests(json!([{}])), "'batch.inputConfig.requests.requests[0].request'"),
            (with_requests(json!([{"request": 1}])), "expected an object, got a number"),
            (with_requests(json!([{"request": {"model": "models/n"}}])), "its model 'models/n'"),
            (json!({"inputConfig": {"fileName": "a"}, "webhookConfig": {}}), WEBHOOKS),
            (json!({"inputConfig": {"fileName": "a"}, "x": 1}), "Unknown parameter 'batch.x'."),
        ] {
            let error = read(batch.clone()).expect_err("it is rejected");
            assert!(error.contains(wanted), "{batch} gave {error}");
        }
    }
}
