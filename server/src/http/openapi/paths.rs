//! The paths of the API.

use serde_json::{Map, Value, json};

use super::schema::{any_object, any_of, flag, list, named, only, text, word};
use crate::http::VERSIONS;

/// A method of a path.
struct Operation {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Vec<(&'static str, Value)>,
    error: &'static str,
    keyless: bool,
}

/// The form of a response.
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What one event of a stream is. Its data is JSON, but for the last word of an interaction's.
fn frames(schema: &str) -> Value {
    let frame = |event: Value, data: Value| json!({"type": "object", "required": ["data"], "properties": {"event": event, "data": data}});
    let json = json!({
        "type": "string", "contentMediaType": JSON, "contentSchema": named(schema),
    });
    any_of(&[
        frame(json!({"type": "string", "not": {"const": "done"}}), json),
        frame(only("done"), only("[DONE]")),
    ])
}

impl Operation {
    fn new(id: &'static str, tag: &'static str, summary: &'static str) -> Operation {
        Operation {
            id,
            tag,
            summary,
            description: "",
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            error: "ClassicError",
            keyless: false,
        }
    }

    fn about(mut self, description: &'static str) -> Operation {
        self.description = description;
        self
    }

    fn with(mut self, parameters: impl IntoIterator<Item = Value>) -> Operation {
        self.parameters.extend(parameters);
        self
    }

    fn takes(self, schema: &str) -> Operation {
        self.takes_as(json!({JSON: {"schema": named(schema)}}), true)
    }

    fn takes_as(mut self, content: Value, required: bool) -> Operation {
        self.body = Some(json!({"required": required, "content": content}));
        self
    }

    fn answers(self, schema: &str) -> Operation {
        let schema = named(schema);
        self.answers_as(JSON, schema)
    }

    fn answers_as(mut self, kind: &'static str, schema: Value) -> Operation {
        self.answers.push((kind, schema));
        self
    }

    fn fails_as(mut self, error: &'static str) -> Operation {
        self.error = error;
        self
    }

    fn needs_no_key(mut self) -> Operation {
        self.keyless = true;
        self
    }

    fn json(self) -> Value {
        let content: Map<String, Value> = self
            .answers
            .into_iter()
            .map(|(kind, schema)| (kind.to_owned(), json!({"schema": schema})))
            .collect();
        let mut right = json!({"description": "Success."});
        if !content.is_empty() {
            right["content"] = content.into();
        }
        let wrong = |description: &str| {
            let content = json!({JSON: {"schema": named(self.error)}});
            json!({"description": description, "content": content})
        };
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "responses": {
                "200": right,
                "4XX": wrong("The request is invalid, or cannot succeed now."),
                "5XX": wrong("A component is unavailable or failed. A retry may succeed."),
            },
        });
        if !self.description.is_empty() {
            operation["description"] = self.description.into();
        }
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if self.keyless {
            operation["security"] = json!([]);
        }
        operation
    }
}

/// The encoding that gapic clients request.
fn alternative() -> Value {
    in_query("$alt", word(&["json", "json;enum-encoding=int"]))
}

fn in_query(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "query", "schema": schema})
}

fn in_header(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "header", "schema": schema})
}

fn in_path(name: &str, schema: Value) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": schema})
}

fn version() -> Value {
    in_path("version", word(&VERSIONS))
}

fn namespace() -> Value {
    let mut name = text("The namespace of the test that sends this request.");
    name["pattern"] = "^[!-~]{1,128}$".into();
    in_header("x-belljar-namespace", name)
}

fn id() -> Value {
    in_path("id", json!({"type": "string", "pattern": "^v1_[A-Za-z0-9_-]{1,125}$"}))
}

fn model() -> Value {
    let schema = json!({"type": "string", "pattern": "^[A-Za-z0-9._-]+$", "examples": ["direct"]});
    in_path("model", schema)
}

fn page() -> [Value; 2] {
    [
        in_query("pageSize", json!({"type": "integer", "minimum": 0})),
        in_query("pageToken", text("`nextPageToken` of the previous page.")),
    ]
}

/// All paths with their methods.
pub fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    let all = [interactions(), models(), files(), ours(), operators()];
    for (path, method, operation) in all.into_iter().flatten() {
        let operations = paths.entry(path).or_insert_with(|| json!({}));
        operations[method] = operation.json();
    }
    paths
}

type Operations = Vec<(&'static str, &'static str, Operation)>;

fn interactions() -> Operations {
    let new = |id, summary| {
        Operation::new(id, "interactions", summary).fails_as("InteractionError").with([version()])
    };
    vec![
        (
            "/{version}/interactions",
            "post",
            new("createInteraction", "Asks the model, runs its code, and returns every step")
                .about("With `stream` the response is a stream of events that ends with `[DONE]`.")
                .with([namespace()])
                .takes("CreateInteraction")
                .answers("Interaction")
                .answers_as(EVENTS, frames("InteractionEvent")),
        ),
        (
            "/{version}/interactions/{id}",
            "get",
            new("getInteraction", "Returns a stored interaction, including its input")
                .with([
                    id(),
                    in_query("stream", flag("Whether the response is a stream.")),
                    in_query("last_event_id", text("The event after which the stream begins.")),
                    in_query("include_input", flag("Ignored: the input is always included.")),
                ])
                .answers("Interaction")
                .answers_as(EVENTS, frames("InteractionEvent")),
        ),
        (
            "/{version}/interactions/{id}",
            "delete",
            new("deleteInteraction", "Deletes an interaction").with([id()]).answers("Nothing"),
        ),
        (
            "/{version}/interactions/{id}/cancel",
            "post",
            new("cancelInteraction", "Cancels a running interaction")
                .about("An interaction that has ended is returned unchanged.")
                .with([id()])
                .answers("Interaction"),
        ),
        (
            "/{version}/interactions/{id}:cancel",
            "post",
            new("cancelInteractionByColon", "Cancels a running interaction")
                .with([id()])
                .answers("Interaction"),
        ),
    ]
}

fn models() -> Operations {
    let new = |id, summary| Operation::new(id, "models", summary).with([version()]);
    vec![
        (
            "/{version}/models",
            "get",
            new("listModels", "Lists the known models").with(page()).answers("Models"),
        ),
        (
            "/{version}/models/{model}",
            "get",
            new("getModel", "A model").with([model()]).answers("Model"),
        ),
        (
            "/{version}/models/{model}",
            "patch",
            new("changeModel", "For tuned models, which do not exist here: 404").with([model()]),
        ),
        (
            "/{version}/models/{model}",
            "delete",
            new("deleteModel", "For tuned models, which do not exist here: 404").with([model()]),
        ),
        (
            "/{version}/models/{model}:generateContent",
            "post",
            new("generateContent", "Asks the model, runs its code, and returns every part")
                .about(
                    "Requests are protobuf's JSON: each name may be written in `camelCase` or in \
                     `snake_case`, numbers as strings, and values of enums as numbers.",
                )
                .with([model(), namespace(), alternative()])
                .takes("GenerateContentRequest")
                .answers("GenerateContentResponse"),
        ),
        (
            "/{version}/models/{model}:streamGenerateContent",
            "post",
            new(
                "streamGenerateContent",
                "Like `generateContent`, but streamed: as events, or as a list without `alt=sse`",
            )
            .with([model(), namespace(), in_query("alt", word(&["sse", "json"])), alternative()])
            .takes("GenerateContentRequest")
            .answers_as(
                JSON,
                super::schema::list(super::schema::any_of(&[
                    named("GenerateContentResponse"),
                    named("ClassicError"),
                ])),
            )
            .answers_as(EVENTS, frames("GenerateContentResponse")),
        ),
        (
            "/{version}/models/{model}:countTokens",
            "post",
            new("countTokens", "Estimates the number of tokens of a request")
                .with([model()])
                .takes("CountTokensRequest")
                .answers("CountTokensResponse"),
        ),
        (
            "/{version}/tunedModels",
            "get",
            new("listTunedModels", "Returns an empty list: tuning is not supported")
                .with(page())
                .answers("TunedModels"),
        ),
    ]
}

fn files() -> Operations {
    let new = |id, summary| Operation::new(id, "files", summary).with([version()]);
    let file = || in_path("file", json!({"type": "string", "pattern": "^[a-z0-9-]{1,40}$"}));
    let upload = |id| {
        let number = json!({"type": "integer", "minimum": 0});
        let binary = json!({"schema": {}});
        Operation::new(id, "files", "Starts or continues an upload, or uploads a file in one request")
            .about(
                "`resumable` starts an upload: the response has no body, and its header `x-goog-upload-url` \
                 is the URL for the chunks. With `raw` the body is the file, with `multipart` it is the \
                 metadata and the file.",
            )
            .with([
                version(),
                in_query("upload_id", text("The id of an upload that has started.")),
                in_query("upload_protocol", word(&["resumable", "raw", "multipart"])),
                in_header("x-goog-upload-protocol", word(&["resumable", "raw", "multipart"])),
                in_header("x-goog-upload-command", text("`start`, `upload, finalize`, `query`, …")),
                in_header("x-goog-upload-offset", number.clone()),
                in_header("x-goog-upload-header-content-length", number),
                in_header("x-goog-upload-header-content-type", text("`text/csv`")),
                in_header("x-goog-upload-file-name", text("`data.csv`")),
            ])
            .takes_as(
                json!({JSON: {"schema": named("UploadMetadata")},
                       "application/octet-stream": binary}),
                false,
            )
            .answers("Uploaded")
    };
    vec![
        (
            "/{version}/files",
            "get",
            new("listFiles", "Lists the files of this API key").with(page()).answers("Files"),
        ),
        (
            "/{version}/files/{file}",
            "get",
            new("getFile", "Returns the metadata of a file").with([file()]).answers("File"),
        ),
        (
            "/{version}/files/{file}",
            "delete",
            new("deleteFile", "Deletes a file").with([file()]).answers("Nothing"),
        ),
        (
            "/{version}/files:register",
            "post",
            new("registerFiles", "Not supported: upload files instead"),
        ),
        ("/upload/{version}/files", "post", upload("uploadFile")),
        ("/upload/{version}/files", "put", upload("uploadFileByPut")),
    ]
}

/// Description of the test controls.
const CONTROL: &str = "A test control, separate for each API key: 404 if the controls are off, which is the \
                       default with API keys.";

fn ours() -> Operations {
    let new = |id, summary| Operation::new(id, "belljar", summary);
    vec![
        (
            "/x/execute",
            "post",
            new("execute", "Runs code in a new cell, without a model")
                .takes("ExecuteRequest")
                .answers("Executed"),
        ),
        ("/x/isolation", "get", new("isolation", "The isolation tier and mechanisms").answers("Isolation")),
        (
            "/x/journal",
            "get",
            new("journal", "The requests, the scenarios that answered, and the results of their code")
                .about(CONTROL)
                .with([namespace()])
                .answers("Journal"),
        ),
        (
            "/x/reset",
            "post",
            new("reset", "Clears the journal, the added scenarios, the faults and the counters")
                .about(CONTROL)
                .with([namespace()])
                .answers("Nothing"),
        ),
        (
            "/x/faults",
            "get",
            new("faults", "The faults, and how often each happened").about(CONTROL)
                .with([namespace()])
                .answers("StandingFaults"),
        ),
        (
            "/x/faults",
            "post",
            new("orderFaults", "Adds faults for every request")
                .about(
                    "A fault or a list of faults, as in the header `x-belljar-fault`. A test control: 404 \
                     if the controls are off, which is the default with API keys.",
                )
                .with([namespace()])
                .takes_as(
                    json!({JSON: {"schema": any_of(&[any_object("A failure."), list(any_object("A failure."))])}}),
                    true,
                )
                .answers("Nothing"),
        ),
        (
            "/x/faults",
            "delete",
            new("removeFaults", "Removes the faults").about(CONTROL)
                .with([namespace()])
                .answers("Nothing"),
        ),
        (
            "/x/scenarios",
            "get",
            new("scenarios", "All scenarios in order of precedence, and how often each was used")
                .about(CONTROL)
                .with([namespace()])
                .answers("Scenarios"),
        ),
        (
            "/x/scenarios",
            "post",
            new("addScenarios", "Adds scenarios that take precedence over all others")
                .about(
                    "A scenario file. `belljar schema scenario` has its schema. A test control: 404 \
                     if the controls are off, which is the default with API keys.",
                )
                .with([namespace()])
                .takes_as(
                    json!({
                        JSON: {"schema": {"type": "object"}},
                        "application/yaml": {"schema": {"type": "string"}},
                    }),
                    true,
                )
                .answers("Added"),
        ),
        (
            "/x/scenarios",
            "delete",
            new("removeScenarios", "Removes the added scenarios").about(CONTROL)
                .with([namespace()])
                .answers("Nothing"),
        ),
    ]
}

fn operators() -> Operations {
    let new = |id, summary| Operation::new(id, "operators", summary).needs_no_key();
    let page = || json!({"type": "string"});
    vec![
        (
            "/",
            "get",
            new("index", "An overview: HTML for browsers, JSON for other clients")
                .answers_as(JSON, json!({"type": "object"}))
                .answers_as("text/html", page()),
        ),
        ("/healthz", "get", new("healthz", "Whether the server is up").answers("Health")),
        ("/readyz", "get", new("readyz", "Whether code can run now").answers("Health")),
        (
            "/openapi.json",
            "get",
            new("document", "This document").answers_as(JSON, json!({"type": "object"})),
        ),
        ("/docs", "get", new("page", "The documentation page").answers_as("text/html", page())),
        (
            "/docs/{file}",
            "get",
            new("pageFile", "Files of the documentation page")
                .with([in_path("file", word(&super::page::FILES))])
                .answers_as("text/css", page())
                .answers_as("text/javascript", page()),
        ),
    ]
}
