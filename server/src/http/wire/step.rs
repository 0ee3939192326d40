//! Parses the steps that clients send back, and writes steps.

use serde_json::{Value, json};

use super::WireError;
use super::content::{self, UnknownContent};
use super::json_reader::{Node, ObjectReader};
use domain::interaction::{
    CodeCall, CodeResult, Content, Found, FunctionCall, FunctionResult, Outcome, SearchCall,
    SearchResult, Step,
};

/// Parses a step that has a `type`. Unknown fields in a model's step are accepted: clients send
/// back what a server gave them.
pub fn step(mut fields: ObjectReader) -> Result<Step, WireError> {
    let Some(kind) = fields.kind().map(str::to_owned) else {
        return Err(fields.require("type").map_or_else(|error| error, |node| node.not("a string")));
    };
    match kind.as_str() {
        "user_input" => user_input(fields),
        "model_output" if fields.has("content") => {
            let contents = content::contents(fields.require("content")?, UnknownContent::Keep)?;
            Ok(Step::ModelOutput(contents))
        }
        "thought" => thought(fields),
        "code_execution_call" => code_call(fields),
        "code_execution_result" => code_result(fields),
        "function_call" => function_call(fields),
        "google_search_call" => Ok(search_call(&fields).unwrap_or_else(|| foreign(fields))),
        "google_search_result" => Ok(search_result(&fields).unwrap_or_else(|| foreign(fields))),
        "function_result" => function_result(fields),
        _ => Ok(foreign(fields)),
    }
}

fn foreign(fields: ObjectReader) -> Step {
    Step::Passthrough(fields.into_value())
}

fn user_input(mut fields: ObjectReader) -> Result<Step, WireError> {
    fields.take("type");
    let contents = content::contents(fields.require("content")?, UnknownContent::Refuse)?;
    fields.done()?;
    Ok(Step::UserInput(contents))
}

fn thought(mut fields: ObjectReader) -> Result<Step, WireError> {
    let summary = match fields.take("summary") {
        Some(node) => text_of(content::contents(node, UnknownContent::Keep)?),
        None => String::new(),
    };
    Ok(Step::Thought { summary, signature: fields.string("signature")?.unwrap_or_default() })
}

fn code_call(mut fields: ObjectReader) -> Result<Step, WireError> {
    let whole = fields.clone();
    let mut arguments = fields.require("arguments")?.object()?;
    let code = arguments.require("code")?.string()?;
    let language = arguments.string("language")?.unwrap_or_else(|| "python".to_owned());
    if !language.eq_ignore_ascii_case("python") {
        // Agents of other services run bash. It is kept as part of their history; this server never
        // writes it.
        return Ok(Step::Passthrough(whole.into_value()));
    }
    Ok(Step::CodeCall(CodeCall {
        id: fields.string("id")?.unwrap_or_default(),
        code,
        signature: fields.string("signature")?.unwrap_or_default(),
    }))
}

fn code_result(mut fields: ObjectReader) -> Result<Step, WireError> {
    let result = text_of(content::contents(fields.require("result")?, UnknownContent::Keep)?);
    let failed = fields.boolean("is_error")?.unwrap_or(false);
    Ok(Step::CodeResult(CodeResult {
        call_id: fields.string("call_id")?.unwrap_or_default(),
        outcome: if failed { Outcome::Failed } else { Outcome::Ok },
        stdout: if failed { String::new() } else { result.clone() },
        result,
        images: 0,
        signature: fields.string("signature")?.unwrap_or_default(),
    }))
}

fn function_call(mut fields: ObjectReader) -> Result<Step, WireError> {
    Ok(Step::FunctionCall(FunctionCall {
        id: fields.require("id")?.string()?,
        name: fields.require("name")?.string()?,
        arguments: fields.object("arguments")?.unwrap_or_else(|| json!({})),
        signature: fields.string("signature")?.unwrap_or_default(),
    }))
}

/// A search by this server. Searches of other services have other fields and are kept unchanged.
fn search_call(fields: &ObjectReader) -> Option<Step> {
    let value = fields.clone().into_value();
    let call = Step::SearchCall(SearchCall {
        id: value["id"].as_str()?.to_owned(),
        queries: strings(&value["arguments"]["queries"])?,
        signature: value["signature"].as_str()?.to_owned(),
    });
    (to_json(&call) == value).then_some(call)
}

fn search_result(fields: &ObjectReader) -> Option<Step> {
    let value = fields.clone().into_value();
    let mut result = SearchResult {
        call_id: value["call_id"].as_str()?.to_owned(),
        is_error: value["is_error"].as_bool()?,
        signature: value["signature"].as_str()?.to_owned(),
        ..SearchResult::default()
    };
    for entry in value["result"].as_array()? {
        let text = |name: &str| entry[name].as_str().map(str::to_owned);
        match (text("search_suggestions"), text("title"), text("url"), text("snippet")) {
            (Some(html), ..) => result.suggestions = Some(html),
            (None, Some(title), Some(url), Some(snippet)) => {
                result.found.push(Found { title, url, snippet });
            }
            _ => return None,
        }
    }
    let result = Step::SearchResult(result);
    (to_json(&result) == value).then_some(result)
}

fn strings(list: &Value) -> Option<Vec<String>> {
    list.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn function_result(mut fields: ObjectReader) -> Result<Step, WireError> {
    let result = fields.require("result")?;
    if !matches!(result.value(), Value::String(_) | Value::Object(_) | Value::Array(_)) {
        return Err(result.not("a string, an object or a list"));
    }
    if let Value::Array(parts) = result.value()
        && parts.iter().any(|part| part["type"].as_str().is_some_and(content::is_content))
    {
        content::contents(result.clone(), UnknownContent::Keep)?;
    }
    let call_id = fields.require("call_id")?;
    if call_id.value() == "" {
        return Err(call_id.wrong("must not be empty"));
    }
    Ok(Step::FunctionResult(FunctionResult {
        call_id: call_id.string()?,
        name: fields.string("name")?,
        result: Node::into_value(result),
        is_error: fields.boolean("is_error")?.unwrap_or(false),
    }))
}

fn text_of(contents: Vec<Content>) -> String {
    let texts = contents.into_iter().filter_map(|content| match content {
        Content::Text { text, .. } => Some(text),
        Content::Media(_) | Content::Passthrough(_) => None,
    });
    texts.collect()
}

/// A step in Google's format.
pub fn to_json(step: &Step) -> Value {
    match step {
        Step::UserInput(contents) => json!({"type": "user_input", "content": list(contents)}),
        Step::Thought { summary, signature } => {
            let mut json = json!({"type": "thought", "signature": signature});
            if !summary.is_empty() {
                json["summary"] = json!([{"type": "text", "text": summary}]);
            }
            json
        }
        Step::ModelOutput(contents) => json!({"type": "model_output", "content": list(contents)}),
        Step::CodeCall(call) => json!({
            "id": call.id,
            "type": "code_execution_call",
            "signature": call.signature,
            "arguments": {"language": "python", "code": call.code},
        }),
        Step::CodeResult(result) => json!({
            "call_id": result.call_id,
            "type": "code_execution_result",
            "signature": result.signature,
            "is_error": result.outcome.is_error(),
            "result": result.result,
        }),
        Step::FunctionCall(call) => json!({
            "id": call.id,
            "type": "function_call",
            "signature": call.signature,
            "name": call.name,
            "arguments": call.arguments,
        }),
        Step::FunctionResult(result) => {
            let mut json = json!({"call_id": result.call_id, "type": "function_result"});
            if let Some(name) = &result.name {
                json["name"] = name.as_str().into();
            }
            json["is_error"] = result.is_error.into();
            json["result"] = result.result.clone();
            json
        }
        Step::SearchCall(call) => json!({
            "id": call.id,
            "type": "google_search_call",
            "signature": call.signature,
            "arguments": {"queries": call.queries},
        }),
        Step::SearchResult(result) => json!({
            "call_id": result.call_id,
            "type": "google_search_result",
            "signature": result.signature,
            "is_error": result.is_error,
            "result": found(result),
        }),
        Step::Passthrough(step) => step.clone(),
    }
}

/// The result of a search: Google's suggestions, and the pages, which are our extension. The SDKs
/// keep unknown fields.
pub fn found(result: &SearchResult) -> Vec<Value> {
    let suggestions = result.suggestions.iter().map(|html| json!({"search_suggestions": html}));
    let page =
        |page: &Found| json!({"title": page.title, "url": page.url, "snippet": page.snippet});
    suggestions.chain(result.found.iter().map(page)).collect()
}

fn list(contents: &[Content]) -> Vec<Value> {
    contents.iter().map(content::to_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: Value) -> Result<Step, WireError> {
        step(Node::root(json).object().expect("it is one"))
    }

    #[test]
    fn a_step_that_the_server_wrote_parses_back() {
        for json in [
            json!({"type": "user_input", "content": [{"type": "text", "text": "6 * 7?"}]}),
            json!({"type": "thought", "signature": "c2ln", "summary": [{"type": "text", "text": "Hm."}]}),
            json!({"type": "thought", "signature": "c2ln"}),
            json!({"id": "7xveqyd2", "type": "code_execution_call", "signature": "c2ln",
                   "arguments": {"language": "python", "code": "print(6*7)"}}),
            json!({"call_id": "7xveqyd2", "type": "code_execution_result", "signature": "c2ln",
                   "is_error": true, "result": "ZeroDivisionError"}),
            json!({"type": "model_output", "content": [
                {"type": "image", "mime_type": "image/png", "data": "iVBORw0="},
                {"type": "text", "text": "42", "annotations": [{"type": "url_citation"}]},
                {"type": "from_the_future", "x": 1}]}),
            json!({"id": "f", "type": "function_call", "signature": "", "name": "n", "arguments": {"a": 1}}),
            json!({"call_id": "f", "type": "function_result", "name": "n", "is_error": false, "result": {"b": 2}}),
            json!({"type": "google_search_call", "id": "g", "arguments": {"queries": ["q"]}}),
            json!({"type": "code_execution_call", "id": "b", "arguments": {"language": "bash", "code": "ls"}}),
            json!({"type": "model_output", "error": {"code": 500, "message": "m"}}),
        ] {
            let step = read(json.clone()).expect("it is a known step");
            assert_eq!(to_json(&step), json);
        }
    }

    #[test]
    fn ids_and_signatures_are_optional_and_unknown_fields_are_accepted() {
        let call = json!({"type": "code_execution_call", "arguments": {"code": "1"}, "extra": 1});
        assert!(matches!(read(call), Ok(Step::CodeCall(call)) if call.code == "1"));
        let result = json!({"type": "code_execution_result", "call_id": "c",
                            "result": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]});
        assert!(matches!(read(result), Ok(Step::CodeResult(result)) if result.result == "42"));
    }

    #[test]
    fn a_function_result_must_name_its_call() {
        let result = |call_id: Value| {
            let step = read(json!({"type": "function_result", "call_id": call_id, "result": "r"}));
            step.map_err(|error| error.to_string())
        };
        assert!(matches!(result(json!("c")), Ok(Step::FunctionResult(_))));
        for (call_id, wanted) in
            [(json!(""), "must not be empty"), (json!(null), "Missing required")]
        {
            let error = result(call_id).expect_err("it is rejected");
            assert!(error.contains(wanted), "{error}");
        }
    }
}
