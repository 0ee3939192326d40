//! What is served where.

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

/// How an answer comes.
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
        let mut right = json!({"description": "As asked."});
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
                "4XX": wrong("The request cannot succeed as it is, or not now."),
                "5XX": wrong("Something is not there, or went wrong. Asking again may help."),
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

/// How a gapic client asks for its answers.
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
    let mut name = text("Whose test this belongs to.");
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
        in_query("pageToken", text("`nextPageToken` of the page before.")),
    ]
}

/// All paths, each with its methods.
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
            new("createInteraction", "Asks the model, runs its code, and answers with every step")
                .about("With `stream` the answer is a stream of events that ends with `[DONE]`.")
                .with([namespace()])
                .takes("CreateInteraction")
                .answers("Interaction")
                .answers_as(EVENTS, frames("InteractionEvent")),
        ),
        (
            "/{version}/interactions/{id}",
            "get",
            new("getInteraction", "An interaction that was stored, its input first")
                .with([
                    id(),
                    in_query("stream", flag("Whether it comes as a stream.")),
                    in_query("last_event_id", text("After which the stream begins.")),
                    in_query("include_input", flag("The input is there whatever this says.")),
                ])
                .answers("Interaction")
                .answers_as(EVENTS, frames("InteractionEvent")),
        ),
        (
            "/{version}/interactions/{id}",
            "delete",
            new("deleteInteraction", "Forgets an interaction").with([id()]).answers("Nothing"),
        ),
        (
            "/{version}/interactions/{id}/cancel",
            "post",
            new("cancelInteraction", "Ends an interaction, wherever it runs")
                .about("One that has ended is answered as it is.")
                .with([id()])
                .answers("Interaction"),
        ),
        (
            "/{version}/interactions/{id}:cancel",
            "post",
            new("cancelInteractionByColon", "The same").with([id()]).answers("Interaction"),
        ),
    ]
}

fn models() -> Operations {
    let new = |id, summary| Operation::new(id, "models", summary).with([version()]);
    vec![
        (
            "/{version}/models",
            "get",
            new("listModels", "Names that are known to be answered for")
                .with(page())
                .answers("Models"),
        ),
        (
            "/{version}/models/{model}",
            "get",
            new("getModel", "A model").with([model()]).answers("Model"),
        ),
        (
            "/{version}/models/{model}",
            "patch",
            new("changeModel", "Of tuned models, of which there is none: 404").with([model()]),
        ),
        (
            "/{version}/models/{model}",
            "delete",
            new("deleteModel", "Of tuned models, of which there is none: 404").with([model()]),
        ),
        (
            "/{version}/models/{model}:generateContent",
            "post",
            new("generateContent", "Asks the model, runs its code, and answers with every part")
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
            new("streamGenerateContent", "The same in pieces: events, or without `alt=sse` a list")
                .with([
                    model(),
                    namespace(),
                    in_query("alt", word(&["sse", "json"])),
                    alternative(),
                ])
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
            new("countTokens", "How many tokens a request is estimated to be")
                .with([model()])
                .takes("CountTokensRequest")
                .answers("CountTokensResponse"),
        ),
        (
            "/{version}/tunedModels",
            "get",
            new("listTunedModels", "None: there is no tuning").with(page()).answers("TunedModels"),
        ),
    ]
}

fn files() -> Operations {
    let new = |id, summary| Operation::new(id, "files", summary).with([version()]);
    let file = || in_path("file", json!({"type": "string", "pattern": "^[a-z0-9-]{1,40}$"}));
    let upload = |id| {
        let number = json!({"type": "integer", "minimum": 0});
        let binary = json!({"schema": {}});
        Operation::new(id, "files", "Begins an upload, or goes on with it, or is all of it")
            .about(
                "`resumable` begins one: the answer has no body, and its header `x-goog-upload-url` \
                 says where the pieces go. `raw` has the file for its body, `multipart` its \
                 metadata before it.",
            )
            .with([
                version(),
                in_query("upload_id", text("Of an upload that has begun.")),
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
            new("listFiles", "Files of this key").with(page()).answers("Files"),
        ),
        (
            "/{version}/files/{file}",
            "get",
            new("getFile", "What is known of a file").with([file()]).answers("File"),
        ),
        (
            "/{version}/files/{file}",
            "delete",
            new("deleteFile", "Forgets a file").with([file()]).answers("Nothing"),
        ),
        (
            "/{version}/files:register",
            "post",
            new("registerFiles", "Always refused: files are uploaded"),
        ),
        ("/upload/{version}/files", "post", upload("uploadFile")),
        ("/upload/{version}/files", "put", upload("uploadFileByPut")),
    ]
}

/// Of what tests control the server with.
const CONTROL: &str = "A test control, of this key alone: 404 where they are off, as they are by default \
                       where there are keys.";

fn ours() -> Operations {
    let new = |id, summary| Operation::new(id, "belljar", summary);
    vec![
        (
            "/x/execute",
            "post",
            new("execute", "Runs code in a cell of its own, without a model")
                .takes("ExecuteRequest")
                .answers("Executed"),
        ),
        ("/x/isolation", "get", new("isolation", "What the wall is made of").answers("Isolation")),
        (
            "/x/journal",
            "get",
            new("journal", "What was asked, which scenario answered, and what came of its code")
                .about(CONTROL)
                .with([namespace()])
                .answers("Journal"),
        ),
        (
            "/x/reset",
            "post",
            new("reset", "An empty journal, no added scenarios, and everything counted from 0")
                .about(CONTROL)
                .with([namespace()])
                .answers("Nothing"),
        ),
        (
            "/x/faults",
            "get",
            new("faults", "What was ordered to fail, and how often it has happened").about(CONTROL)
                .with([namespace()])
                .answers("StandingFaults"),
        ),
        (
            "/x/faults",
            "post",
            new("orderFaults", "Failures for every request")
                .about(
                    "One, or a list of them, as in the header `x-belljar-fault`. A test control: 404 \
                     where they are off, as they are by default where there are keys.",
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
            new("removeFaults", "Takes away what was ordered").about(CONTROL)
                .with([namespace()])
                .answers("Nothing"),
        ),
        (
            "/x/scenarios",
            "get",
            new("scenarios", "All scenarios in their order, and how often each was used")
                .about(CONTROL)
                .with([namespace()])
                .answers("Scenarios"),
        ),
        (
            "/x/scenarios",
            "post",
            new("addScenarios", "Scenarios that are asked before all others")
                .about(
                    "A scenario file. `belljar schema scenario` has its schema. A test control: 404 \
                     where they are off, as they are by default where there are keys.",
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
            new("removeScenarios", "Takes away what was added").about(CONTROL)
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
            new("index", "Where everything is: a page for browsers, JSON for all others")
                .answers_as(JSON, json!({"type": "object"}))
                .answers_as("text/html", page()),
        ),
        ("/healthz", "get", new("healthz", "The server listens").answers("Health")),
        ("/readyz", "get", new("readyz", "Code would run at once").answers("Health")),
        (
            "/openapi.json",
            "get",
            new("document", "This document").answers_as(JSON, json!({"type": "object"})),
        ),
        ("/docs", "get", new("page", "A page to read it").answers_as("text/html", page())),
        (
            "/docs/{file}",
            "get",
            new("pageFile", "What the page is made of")
                .with([in_path("file", word(&super::page::FILES))])
                .answers_as("text/css", page())
                .answers_as("text/javascript", page()),
        ),
    ]
}
