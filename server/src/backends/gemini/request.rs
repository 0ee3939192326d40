//! The request to the upstream: the conversation as input steps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::Execution;
use crate::backends::upstream::python::{self, ABOUT_CODE, RUN_PYTHON, WITH_TOOL};
use backend::{Function, Prompt};
use domain::interaction::{
    CodeCall, CodeResult, Content, FunctionCall, FunctionResult, Media, SearchCall, SearchResult,
    Source, Step,
};

/// Tools that only the upstream has.
const THEIRS: [&str; 1] = ["google_search"];

pub fn body(model: &str, prompt: &Prompt, execution: Execution) -> Value {
    let mut body = json!({
        "model": model,
        "input": input(&prompt.steps, execution),
        "stream": true,
        "store": false,
    });
    if let Some(system) = system(prompt, execution) {
        body["system_instruction"] = system.into();
    }
    let tools = tools(prompt, execution);
    if !tools.is_empty() {
        body["tools"] = tools.into();
    }
    let (config, format) = settings(prompt);
    if !config.is_empty() {
        body["generation_config"] = config.into();
    }
    if let Some(format) = format {
        body["response_format"] = format;
    }
    body
}

fn system(prompt: &Prompt, execution: Execution) -> Option<String> {
    let mut parts: Vec<String> = prompt.system_instruction.iter().cloned().collect();
    if prompt.tools.code_execution && execution == Execution::Sandbox {
        parts.push(ABOUT_CODE.into());
        parts.push(WITH_TOOL.into());
        parts.extend(python::files(prompt));
    }
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn tools(prompt: &Prompt, execution: Execution) -> Vec<Value> {
    let mut tools = Vec::new();
    if prompt.tools.code_execution {
        tools.push(match execution {
            Execution::Sandbox => function(&python::tool()),
            Execution::Upstream => json!({"type": "code_execution"}),
        });
    }
    let theirs = THEIRS.iter().filter(|tool| prompt.tools.offered.iter().any(|o| o == *tool));
    tools.extend(theirs.map(|tool| json!({"type": tool})));
    tools.extend(prompt.tools.built_in.iter().map(|tool| json!(tool)));
    tools.extend(prompt.tools.functions.iter().map(function));
    tools
}

fn function(function: &Function) -> Value {
    let mut json = json!({"type": "function", "name": function.name});
    if let Some(description) = &function.description {
        json["description"] = description.as_str().into();
    }
    if let Some(parameters) = &function.parameters {
        json["parameters"] = parameters.clone();
    }
    json
}

/// The client's `generation_config`, and the response format, which is a separate field.
fn settings(prompt: &Prompt) -> (Map<String, Value>, Option<Value>) {
    let mut config = prompt.generation_config.fields().cloned().unwrap_or_default();
    let mime_type = config.remove("response_mime_type");
    let schema = config.remove("response_json_schema");
    let format = mime_type.map(|mime_type| {
        let mut format = json!({"type": "text", "mime_type": mime_type});
        if let Some(schema) = schema {
            format["schema"] = schema;
        }
        format
    });
    // With `tool_choice: any` the model could never answer after a tool call.
    let begins = prompt.steps.last().is_some_and(|step| matches!(step, Step::UserInput(_)));
    if !begins && config.get("tool_choice") == Some(&json!("any")) {
        config.remove("tool_choice");
    }
    (config, format)
}

fn input(steps: &[Step], execution: Execution) -> Vec<Value> {
    let mut input = Vec::new();
    let mut steps = steps.iter().peekable();
    while let Some(step) = steps.next() {
        input.push(match (step, execution) {
            (Step::CodeCall(call), Execution::Sandbox) => called(call),
            (Step::CodeResult(result), Execution::Sandbox) => {
                // Pictures that the code made are part of its result.
                let drawn = steps.next_if(|step| is_pictures(step));
                answered(result, drawn)
            }
            (step, _) => as_it_is(step),
        });
    }
    input
}

/// A code execution of this server, as the function call that the model knows.
fn called(CodeCall { id, code, signature }: &CodeCall) -> Value {
    let call = json!({"type": "function_call", "id": id, "name": RUN_PYTHON,
                      "arguments": {"code": code}});
    signed(call, signature)
}

fn answered(result: &CodeResult, drawn: Option<&Step>) -> Value {
    let mut contents = vec![json!({"type": "text", "text": result.result})];
    if let Some(Step::ModelOutput(pictures)) = drawn {
        contents.extend(pictures.iter().map(content));
    }
    json!({
        "type": "function_result",
        "call_id": result.call_id,
        "name": RUN_PYTHON,
        "is_error": result.outcome.is_error(),
        "result": contents,
    })
}

fn is_pictures(step: &Step) -> bool {
    matches!(step, Step::ModelOutput(contents)
        if contents.iter().all(|content| matches!(content, Content::Media(_))))
}

fn as_it_is(step: &Step) -> Value {
    let contents = |contents: &[Content]| contents.iter().map(content).collect::<Vec<_>>();
    match step {
        Step::UserInput(parts) => json!({"type": "user_input", "content": contents(parts)}),
        Step::ModelOutput(parts) => json!({"type": "model_output", "content": contents(parts)}),
        Step::Thought { summary, signature } => {
            let mut thought = json!({"type": "thought"});
            if !summary.is_empty() {
                thought["summary"] = json!([{"type": "text", "text": summary}]);
            }
            signed(thought, signature)
        }
        Step::CodeCall(CodeCall { id, code, signature }) => {
            let arguments = json!({"language": "python", "code": code});
            let call = json!({"type": "code_execution_call", "id": id, "arguments": arguments});
            signed(call, signature)
        }
        Step::CodeResult(CodeResult { call_id, outcome, result, signature, .. }) => signed(
            json!({"type": "code_execution_result", "call_id": call_id,
                   "is_error": outcome.is_error(), "result": result}),
            signature,
        ),
        Step::FunctionCall(FunctionCall { id, name, arguments, signature }) => signed(
            json!({"type": "function_call", "id": id, "name": name, "arguments": arguments}),
            signature,
        ),
        Step::FunctionResult(FunctionResult { call_id, name, result, is_error }) => {
            let mut json = json!({"type": "function_result", "call_id": call_id,
                                  "is_error": is_error, "result": result});
            if let Some(name) = name {
                json["name"] = name.as_str().into();
            }
            json
        }
        Step::SearchCall(SearchCall { id, queries, signature }) => signed(
            json!({"type": "google_search_call", "id": id, "arguments": {"queries": queries}}),
            signature,
        ),
        Step::SearchResult(SearchResult { call_id, found, signature, .. }) => {
            let page = |page: &domain::interaction::Found| json!({"title": page.title, "url": page.url, "snippet": page.snippet});
            let found: Vec<Value> = found.iter().map(page).collect();
            let result =
                json!({"type": "google_search_result", "call_id": call_id, "result": found});
            signed(result, signature)
        }
        Step::Passthrough(step) => step.clone(),
    }
}

/// A step without a signature gets no `signature` field rather than an empty one.
fn signed(mut step: Value, signature: &str) -> Value {
    if !signature.is_empty() {
        step["signature"] = signature.into();
    }
    step
}

fn content(content: &Content) -> Value {
    match content {
        Content::Text { text, annotations, .. } if annotations.is_empty() => {
            json!({"type": "text", "text": text})
        }
        Content::Text { text, annotations, .. } => {
            json!({"type": "text", "text": text, "annotations": annotations})
        }
        Content::Media(media) => of_media(media),
        Content::Passthrough(content) => content.clone(),
    }
}

/// An uploaded file is stored on this server; the upstream cannot read it.
const LIES_HERE: &str = "(A file that lies in the working directory.)";

fn of_media(Media { kind, mime_type, source }: &Media) -> Value {
    if matches!(source, Source::Uri(uri) if lies_here(uri)) {
        return json!({"type": "text", "text": LIES_HERE});
    }
    let kind = kind.as_str();
    let mut media = match source {
        Source::Inline(data) => json!({"type": kind, "data": STANDARD.encode(data)}),
        Source::Uri(uri) => json!({"type": kind, "uri": uri}),
    };
    if let Some(mime_type) = mime_type {
        media["mime_type"] = mime_type.as_str().into();
    }
    media
}

/// `files/abc`, or a URL that ends with it: any prefix names this server.
fn lies_here(uri: &str) -> bool {
    let id = uri.rsplit_once("files/").filter(|(before, _)| {
        before.is_empty() || before.ends_with('/') && before.starts_with("http")
    });
    id.is_some_and(|(_, id)| {
        !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::interaction::MediaKind;

    #[test]
    fn uploaded_files_are_not_requested_from_the_upstream() {
        let media = |uri: &str| {
            let source = Source::Uri(uri.to_owned());
            let mime_type = Some("text/csv".to_owned());
            of_media(&Media { kind: MediaKind::Document, mime_type, source })
        };
        for uri in ["files/abc-1", "http://127.0.0.1:8080/v1beta/files/abc"] {
            assert_eq!(media(uri), json!({"type": "text", "text": LIES_HERE}), "{uri}");
        }
        let uri = "https://example.org/files/data.csv";
        assert_eq!(media(uri), json!({"type": "document", "uri": uri, "mime_type": "text/csv"}));
    }
}
