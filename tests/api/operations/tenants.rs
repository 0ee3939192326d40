//! Two API keys on one server: what one of them made does not exist for the other.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use server::Control;

use harness::{Client, Reply, TestServer, direct};

const OURS: &str = "first-key";
const THEIRS: &str = "second-key";

/// Each operation of the document that takes the name of something that a client made: an id, a file,
/// an upload or a namespace. [`every_operation_that_takes_a_name_is_tried_with_two_keys`] fails when
/// one is missing here.
const TRIED: [&str; 73] = [
    "post /{version}/interactions",
    "get /{version}/interactions/{id}",
    "delete /{version}/interactions/{id}",
    "post /{version}/interactions/{id}/cancel",
    "post /{version}/interactions/{id}:cancel",
    "post /{version}/models/{model}:generateContent",
    "post /{version}/models/{model}:streamGenerateContent",
    "post /{version}/projects/{project}/locations/{location}/interactions",
    "get /{version}/projects/{project}/locations/{location}/interactions/{id}",
    "delete /{version}/projects/{project}/locations/{location}/interactions/{id}",
    "post /{version}/projects/{project}/locations/{location}/interactions/{id}/cancel",
    "post /{version}/projects/{project}/locations/{location}/interactions/{id}:cancel",
    "post /v1beta1/interactions",
    "get /v1beta1/interactions/{id}",
    "delete /v1beta1/interactions/{id}",
    "post /v1beta1/interactions/{id}/cancel",
    "post /v1beta1/interactions/{id}:cancel",
    "post /{version}/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:generateContent",
    "post /{version}/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:streamGenerateContent",
    "post /{version}/publishers/{publisher}/models/{model}:generateContent",
    "post /{version}/publishers/{publisher}/models/{model}:streamGenerateContent",
    "post /{version}/openai/chat/completions",
    "post /{version}/projects/{project}/locations/{location}/endpoints/openapi/chat/completions",
    "post /{version}/models/{model}:batchGenerateContent",
    "post /{version}/models/{model}:asyncBatchEmbedContent",
    "get /{version}/batches",
    "get /{version}/batches/{id}",
    "post /{version}/batches/{id}:cancel",
    "delete /{version}/batches/{id}",
    "get /{version}/cachedContents",
    "get /{version}/cachedContents/{id}",
    "patch /{version}/cachedContents/{id}",
    "delete /{version}/cachedContents/{id}",
    "get /{version}/projects/{project}/locations/{location}/cachedContents",
    "get /{version}/projects/{project}/locations/{location}/cachedContents/{id}",
    "patch /{version}/projects/{project}/locations/{location}/cachedContents/{id}",
    "delete /{version}/projects/{project}/locations/{location}/cachedContents/{id}",
    "get /v1beta1/cachedContents",
    "get /v1beta1/cachedContents/{id}",
    "patch /v1beta1/cachedContents/{id}",
    "delete /v1beta1/cachedContents/{id}",
    "get /{version}/files",
    "get /{version}/files/{file}",
    "delete /{version}/files/{file}",
    "get /{version}/fileSearchStores",
    "get /{version}/fileSearchStores/{id}",
    "delete /{version}/fileSearchStores/{id}",
    "post /{version}/fileSearchStores/{id}:importFile",
    "get /{version}/fileSearchStores/{id}/documents",
    "get /{version}/fileSearchStores/{id}/documents/{document}",
    "delete /{version}/fileSearchStores/{id}/documents/{document}",
    "get /{version}/fileSearchStores/{id}/operations/{operation}",
    "get /{version}/fileSearchStores/{id}/upload/operations/{operation}",
    "post /upload/{version}/fileSearchStores/{id}:uploadToFileSearchStore",
    "post /upload/{version}/files",
    "put /upload/{version}/files",
    "get /x/journal",
    "get /x/journal/{number}/runs/{run}",
    "post /x/reset",
    "get /x/faults",
    "post /x/faults",
    "delete /x/faults",
    "get /x/scenarios",
    "post /x/scenarios",
    "delete /x/scenarios",
    "get /x/sessions/{id}",
    "delete /x/sessions/{id}",
    "post /x/sessions/{id}/execute",
    "post /x/sessions/{id}/interrupt",
    "get /x/sessions/{id}/files",
    "get /x/sessions/{id}/files/{file}",
    "put /x/sessions/{id}/files/{file}",
    "delete /x/sessions/{id}/files/{file}",
];

const UPLOAD: &str = "/upload/v1beta/files";

async fn server() -> TestServer {
    TestServer::builder().keys(&[OURS, THEIRS]).control(Control::On).start().await
}

async fn send(server: &Client, key: &str, method: &str, path: &str, body: &Value) -> Reply {
    let request = server.request(method, path).header("x-goog-api-key", key);
    Reply::to(if body.is_null() { request.header("content-length", 0) } else { request.json(body) })
        .await
}

/// The parts in which a client could see a difference between two answers, without the name it sent.
fn seen(reply: &Reply, name: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = reply
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id" | "content-length"));
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    (reply.status, headers.collect(), reply.body.to_string().replace(name, "NAME"))
}

#[tokio::test]
async fn every_operation_that_takes_a_name_is_tried_with_two_keys() {
    let server = TestServer::start("").await;
    let document = server.get("/openapi.json").await.body;
    let mut named = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("it is one") {
        for (method, operation) in operations.as_object().expect("it is one") {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let is_name = |parameter: &Value| match parameter["in"].as_str() {
                // Any project, location and publisher is accepted.
                Some("path") => !matches!(
                    parameter["name"].as_str(),
                    Some("version" | "model" | "project" | "location" | "publisher")
                ),
                _ => matches!(
                    parameter["name"].as_str(),
                    Some("x-belljar-namespace" | "upload_id" | "pageToken")
                ),
            };
            let keyless = operation["security"] == json!([]);
            let lists_models = path.ends_with("odels");
            if parameters.iter().any(is_name) && !keyless && !lists_models {
                named.insert(format!("{method} {path}"));
            }
        }
    }
    let tried: BTreeSet<String> = TRIED.iter().map(|tried| (*tried).to_owned()).collect();
    assert_eq!(named, tried);
}

/// The paths of interactions, in the Gemini API and in Vertex AI.
const INTERACTIONS: [&str; 3] = [
    "/v1beta/interactions",
    "/v1beta1/projects/p/locations/l/interactions",
    "/v1beta1/interactions",
];

#[tokio::test]
async fn an_interaction_of_another_key_does_not_exist() {
    let server = server().await;
    for interactions in INTERACTIONS {
        is_apart(&server, interactions).await;
    }
}

async fn is_apart(server: &TestServer, interactions: &str) {
    let done = send(server, OURS, "POST", interactions, &direct("x = 42\nprint(x)")).await;
    let mut endless = direct("while True: pass");
    endless["background"] = true.into();
    let runs = send(server, OURS, "POST", interactions, &endless).await;
    let missing = "v1_Chc3dzdiZmx1a2hlaXViaWVmYnU";
    for begun in [&done, &runs] {
        let id = begun.body["id"].as_str().expect("it was stored");
        for (method, rest, body) in [
            ("GET", "", Value::Null),
            ("GET", "?stream=true", Value::Null),
            ("GET", "?stream=true&last_event_id=1", Value::Null),
            ("POST", "/cancel", json!({})),
            ("POST", ":cancel", json!({})),
            ("DELETE", "", Value::Null),
        ] {
            let at = |id: &str| format!("{interactions}/{id}{rest}");
            let theirs = send(server, THEIRS, method, &at(id), &body).await;
            let none = send(server, THEIRS, method, &at(missing), &body).await;
            assert_eq!(theirs.status, 404, "{method} {rest}: {}", theirs.body);
            assert_eq!(seen(&theirs, id), seen(&none, missing), "{method} {rest}");
        }
        for stream in [false, true] {
            let follow = |id: &str| {
                let mut request = direct("print(x)");
                request["previous_interaction_id"] = id.into();
                request["stream"] = stream.into();
                request
            };
            let theirs = send(server, THEIRS, "POST", interactions, &follow(id)).await;
            let none = send(server, THEIRS, "POST", interactions, &follow(missing)).await;
            assert_eq!(theirs.status, 404, "{}", theirs.body);
            assert_eq!(seen(&theirs, id), seen(&none, missing));
        }
    }
    let path =
        |begun: &Reply| format!("{interactions}/{}", begun.body["id"].as_str().expect("text"));
    assert_eq!(
        send(server, OURS, "GET", &path(&runs), &Value::Null).await.body["status"],
        "in_progress"
    );
    for way in ["header", "query", "bearer"] {
        let request = match way {
            "header" => server.request("GET", &path(&done)).header("x-goog-api-key", OURS),
            "query" => server.request("GET", &format!("{}?key={OURS}", path(&done))),
            _ => server.request("GET", &path(&done)).bearer_auth(OURS),
        };
        assert_eq!(Reply::to(request).await.body["status"], "completed", "{way}");
    }
    let cancelled =
        send(server, OURS, "POST", &format!("{}/cancel", path(&runs)), &json!({})).await;
    assert_eq!(cancelled.body["status"], "cancelled");
    assert_eq!(send(server, OURS, "DELETE", &path(&done), &Value::Null).await.status, 200);
}

#[tokio::test]
async fn files_and_uploads_of_another_key_do_not_exist() {
    let server = server().await;
    let start = server
        .request("POST", UPLOAD)
        .header("x-goog-api-key", OURS)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start");
    let started = Reply::to(start.json(&json!({"file": {"mimeType": "text/plain"}}))).await;
    let url = started.headers["x-goog-upload-url"].to_str().expect("it is text");
    let path = url.strip_prefix(server.url()).expect("the address is the client's own").to_owned();
    let id =
        path.split("upload_id=").nth(1).and_then(|rest| rest.split('&').next()).expect("an id");
    let guessed = "a".repeat(id.len());
    let go_on = async |key: Option<&str>, method: &str, path: &str, command: &str| {
        let request = server
            .request(method, path)
            .header("x-goog-upload-command", command)
            .header("x-goog-upload-offset", 0);
        let request = match key {
            Some(key) => request.header("x-goog-api-key", key),
            None => request,
        };
        Reply::to(request.body("hi")).await
    };
    for finished in [false, true] {
        for method in ["POST", "PUT"] {
            for command in ["query", "upload", "upload, finalize", "cancel"] {
                let theirs = go_on(Some(THEIRS), method, &path, command).await;
                let none = go_on(Some(THEIRS), method, &path.replace(id, &guessed), command).await;
                assert_eq!(theirs.status, 404, "{method} {command}: {}", theirs.body);
                assert_eq!(seen(&theirs, id), seen(&none, &guessed), "{method} {command}");
            }
        }
        if !finished {
            let done = go_on(None, "POST", &path, "upload, finalize").await;
            assert_eq!(done.body["file"]["sizeBytes"], "2", "without a key its id is the right");
        }
    }
    let listed = send(&server, OURS, "GET", "/v1/files", &Value::Null).await.body;
    let name = listed["files"][0]["name"].as_str().expect("it is there").to_owned();
    assert_eq!(send(&server, THEIRS, "GET", "/v1/files", &Value::Null).await.body, json!({}));
    let missing = "files/abcdefghijkl";
    for method in ["GET", "DELETE"] {
        let theirs = send(&server, THEIRS, method, &format!("/v1/{name}"), &Value::Null).await;
        let none = send(&server, THEIRS, method, &format!("/v1/{missing}"), &Value::Null).await;
        let id = |name: &str| name.replace("files/", "");
        assert_eq!(seen(&theirs, &id(&name)), seen(&none, &id(missing)), "{method}");
    }
    let uses = |name: &str| {
        json!({"contents": [{"parts": [
            {"text": "print(1)"}, {"fileData": {"fileUri": name, "mimeType": "text/plain"}}]}],
            "tools": [{"codeExecution": {}}]})
    };
    let of_vertex = [
        "/v1/projects/p/locations/l/publishers/google/models",
        "/v1beta1/publishers/google/models",
    ];
    for models in ["/v1beta/models"].into_iter().chain(of_vertex) {
        for method in ["generateContent", "streamGenerateContent"] {
            let path = format!("{models}/direct:{method}");
            let theirs = send(&server, THEIRS, "POST", &path, &uses(&name)).await;
            assert_eq!(theirs.status, 403, "{}", theirs.body);
            assert_eq!(send(&server, OURS, "POST", &path, &uses(&name)).await.status, 200);
        }
    }
    let file = json!({"type": "file", "file": {"file_id": name}});
    let chat = json!({"model": "direct", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "print(1)"}, file]}]});
    for place in ["/v1beta/openai", "/v1/projects/p/locations/l/endpoints/openapi"] {
        let path = format!("{place}/chat/completions");
        let theirs = send(&server, THEIRS, "POST", &path, &chat).await;
        assert_eq!(theirs.status, 403, "{}", theirs.body);
        assert_eq!(send(&server, OURS, "POST", &path, &chat).await.status, 200);
    }
}

#[tokio::test]
async fn cached_contents_of_another_key_do_not_exist() {
    let server = server().await;
    let contents = json!([{"parts": [{"text": "print(1)"}]}]);
    let cache = json!({"model": "models/direct", "contents": contents});
    let made = send(&server, OURS, "POST", "/v1beta/cachedContents", &cache).await;
    let id = made.body["name"].as_str().and_then(|name| name.strip_prefix("cachedContents/"));
    let id = id.expect("it was made");
    let missing = "a".repeat(id.len());
    let places = [("/v1beta", 403), ("/v1beta1", 404), ("/v1/projects/p/locations/l", 404)];
    for (place, status) in places {
        let caches = format!("{place}/cachedContents");
        let listed = send(&server, THEIRS, "GET", &caches, &Value::Null).await;
        assert_eq!(listed.body, json!({}), "{place}");
        for (method, body) in
            [("GET", Value::Null), ("PATCH", json!({"ttl": "5s"})), ("DELETE", Value::Null)]
        {
            let at = |id: &str| format!("{caches}/{id}");
            let theirs = send(&server, THEIRS, method, &at(id), &body).await;
            let none = send(&server, THEIRS, method, &at(&missing), &body).await;
            assert_eq!(theirs.status, status, "{method} {place}: {}", theirs.body);
            assert_eq!(seen(&theirs, id), seen(&none, &missing), "{method} {place}");
        }
    }
    let uses = json!({"contents": contents, "cachedContent": made.body["name"]});
    for method in ["generateContent", "streamGenerateContent", "countTokens"] {
        let path = format!("/v1beta/models/direct:{method}");
        let body = match method {
            "countTokens" => json!({"generateContentRequest": uses}),
            _ => uses.clone(),
        };
        assert_eq!(send(&server, THEIRS, "POST", &path, &body).await.status, 403, "{method}");
        assert_eq!(send(&server, OURS, "POST", &path, &body).await.status, 200, "{method}");
    }
    let chat = json!({"model": "direct", "messages": [{"role": "user", "content": "a"}],
                      "google": {"cached_content": made.body["name"]}});
    let path = "/v1beta/openai/chat/completions";
    assert_eq!(send(&server, THEIRS, "POST", path, &chat).await.status, 403);
}

#[tokio::test]
async fn batches_of_another_key_do_not_exist() {
    let server = server().await;
    let request = json!({"contents": [{"parts": [{"text": "print(1)"}]}]});
    let batch = |input: Value| json!({"batch": {"inputConfig": input}});
    let inline = batch(json!({"requests": {"requests": [{"request": request}]}}));
    let path = "/v1beta/models/direct:batchGenerateContent";
    let made = send(&server, OURS, "POST", path, &inline).await;
    let id = made.body["name"].as_str().and_then(|name| name.strip_prefix("batches/"));
    let id = id.expect("it was made");
    let missing = "a".repeat(id.len());
    let listed = send(&server, THEIRS, "GET", "/v1beta/batches", &Value::Null).await;
    assert_eq!(listed.body, json!({}));
    for (method, place, status) in [
        ("GET", "batches/ID", 404),
        ("POST", "batches/ID:cancel", 404),
        ("DELETE", "batches/ID", 404),
        ("GET", "files/batch-ID", 403),
        ("GET", "files/batch-ID:download?alt=media", 403),
    ] {
        let at = |id: &str| format!("/v1beta/{}", place.replace("ID", id));
        let theirs = send(&server, THEIRS, method, &at(id), &Value::Null).await;
        let none = send(&server, THEIRS, method, &at(&missing), &Value::Null).await;
        assert_eq!(theirs.status, status, "{method} {place}: {}", theirs.body);
        assert_eq!(seen(&theirs, id), seen(&none, &missing), "{method} {place}");
    }
    let ours = send(&server, OURS, "GET", &format!("/v1beta/batches/{id}"), &Value::Null).await;
    assert_eq!(ours.status, 200, "{}", ours.body);
}

#[tokio::test]
async fn sessions_of_another_key_do_not_exist() {
    let server = server().await;
    let open = async || {
        let made = send(&server, OURS, "POST", "/x/sessions", &json!({})).await;
        made.body["id"].as_str().expect("it was made").to_owned()
    };
    let (open, ended) = (open().await, open().await);
    let path = format!("/x/sessions/{ended}");
    assert_eq!(send(&server, OURS, "DELETE", &path, &Value::Null).await.status, 200);
    let write = json!({"code": "open('f', 'w').write('1')"});
    let execute = format!("/x/sessions/{open}/execute");
    assert_eq!(send(&server, OURS, "POST", &execute, &write).await.status, 200);
    let listed = send(&server, THEIRS, "GET", "/x/sessions", &Value::Null).await;
    assert_eq!(listed.body, json!({"sessions": []}));
    // Of the same start of the server, so that only the last part is wrong.
    let (start, _) = open.rsplit_once('-').expect("it has parts");
    let missing = format!("{start}-{}", "0".repeat(32));
    for id in [&open, &ended] {
        for (method, rest, body) in [
            ("GET", "", Value::Null),
            ("POST", "/execute", json!({"code": "print(1)"})),
            ("POST", "/execute?stream=true", json!({"code": "print(1)"})),
            ("POST", "/interrupt", json!({})),
            ("GET", "/files", Value::Null),
            ("GET", "/files/f", Value::Null),
            ("PUT", "/files/f", json!({})),
            ("DELETE", "/files/f", Value::Null),
            ("DELETE", "", Value::Null),
        ] {
            let at = |id: &str| format!("/x/sessions/{id}{rest}");
            let theirs = send(&server, THEIRS, method, &at(id), &body).await;
            let none = send(&server, THEIRS, method, &at(&missing), &body).await;
            assert_eq!(theirs.status, 404, "{method} {rest}: {}", theirs.body);
            assert_eq!(seen(&theirs, id), seen(&none, &missing), "{method} {rest}");
        }
    }
    let read = json!({"code": "print(open('f').read())"});
    assert_eq!(send(&server, OURS, "POST", &execute, &read).await.body["stdout"], "1\n");
}

#[tokio::test]
async fn keys_have_separate_journals_faults_and_scenarios_in_equal_namespaces() {
    const SECRET: &str = "the secret of the first key";
    for (prefix, namespace) in [("", ""), ("", "same"), ("/n/same", "")] {
        let server = server().await;
        let send = async |key: &str, method: &str, path: &str, body: Value| {
            let path = format!("{prefix}{path}");
            let mut request = server.request(method, &path).header("x-goog-api-key", key);
            if !namespace.is_empty() {
                request = request.header("x-belljar-namespace", namespace);
            }
            Reply::to(request.json(&body)).await
        };
        let ask = || json!({"model": "m", "input": SECRET});
        let scenario = json!({"scenarios": [{"name": "planted", "script": [{"text": "planted"}]}]});
        assert_eq!(send(OURS, "POST", "/x/scenarios", scenario).await.status, 200);
        assert_eq!(send(OURS, "POST", "/v1/interactions", ask()).await.status, 200);
        let theirs = send(THEIRS, "POST", "/v1/interactions", ask()).await;
        assert_eq!(theirs.status, 400, "another key's scenario answered: {}", theirs.body);
        assert!(!theirs.message().contains("planted"), "{}", theirs.message());
        let listed = send(THEIRS, "GET", "/x/scenarios", Value::Null).await.body;
        assert_eq!(listed["scenarios"], json!([]), "{listed}");
        send(THEIRS, "POST", "/x/reset", Value::Null).await;
        let listed = send(OURS, "GET", "/x/scenarios", Value::Null).await.body;
        let planted = json!([{"name": "planted", "file": null, "uses": 1}]);
        assert_eq!(listed["scenarios"], planted, "{listed}");

        let journal = send(THEIRS, "GET", "/x/journal", Value::Null).await.body;
        assert_eq!(journal["entries"], json!([]), "{journal}");
        let journal = send(OURS, "GET", "/x/journal", Value::Null).await.body;
        assert_eq!(journal["entries"].as_array().map(Vec::len), Some(1), "{journal}");
        let ran = send(OURS, "POST", "/v1/interactions", direct("print(6 * 7)")).await;
        assert_eq!(ran.status, 200, "{}", ran.body);
        let run = "/x/journal/2/runs/1";
        assert_eq!(send(OURS, "GET", run, Value::Null).await.body["stdout"], "42\n");
        assert_eq!(send(THEIRS, "GET", run, Value::Null).await.status, 404);

        let fault = json!({"status": 503});
        assert_eq!(send(THEIRS, "POST", "/x/faults", fault).await.status, 200);
        assert_eq!(send(OURS, "GET", "/x/faults", Value::Null).await.body["faults"], json!([]));
        for path in ["/x/faults", "/x/scenarios"] {
            send(THEIRS, "DELETE", path, Value::Null).await;
        }
        for path in ["/v1/interactions", "/v1beta/models/direct:countTokens"] {
            let body = match path {
                "/v1/interactions" => ask(),
                _ => json!({"contents": [{"parts": [{"text": "hello"}]}]}),
            };
            assert_eq!(send(OURS, "POST", path, body).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_request_with_two_valid_keys_of_different_tenants_is_refused() {
    let server = server().await;
    let with = async |query: &str, headers: &[(&str, &str)]| {
        let mut request = server.request("GET", &format!("/v1beta/files{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Reply::to(request).await
    };
    let (ours, theirs) = (("x-goog-api-key", OURS), ("x-goog-api-key", THEIRS));
    let bearer = format!("Bearer {THEIRS}");
    for (query, headers) in [
        ("", &[ours, theirs][..]),
        ("", &[ours, ("authorization", &bearer)]),
        ("?key=second-key", &[ours]),
        ("?key=first-key&key=second-key", &[]),
    ] {
        let reply = with(query, headers).await;
        assert_eq!(reply.status, 400, "{query} {headers:?}: {}", reply.body);
        assert!(reply.message().contains("several valid API keys"), "{}", reply.message());
    }
    for (query, headers) in
        [("?key=first-key", &[ours][..]), ("", &[ours, ("authorization", "Bearer of-google")])]
    {
        assert_eq!(with(query, headers).await.status, 200, "{query} {headers:?}");
    }
}

#[tokio::test]
async fn shared_keys_are_one_tenant() {
    let server = TestServer::builder()
        .keys(&[OURS, THEIRS])
        .shared_keys()
        .control(Control::On)
        .start()
        .await;
    let made = send(&server, OURS, "POST", "/v1/interactions", &direct("print(1)")).await;
    let path = format!("/v1/interactions/{}", made.body["id"].as_str().expect("it was stored"));
    assert_eq!(send(&server, THEIRS, "GET", &path, &Value::Null).await.status, 200);
    let journal = send(&server, THEIRS, "GET", "/x/journal", &Value::Null).await.body;
    assert_eq!(journal["entries"].as_array().map(Vec::len), Some(1));
    let both = server.request("GET", &format!("{path}?key={OURS}"));
    assert_eq!(Reply::to(both.header("x-goog-api-key", THEIRS)).await.status, 200);
    assert_eq!(send(&server, "neither", "GET", &path, &Value::Null).await.status, 401);
}

/// Method and path of each test control.
async fn controls(server: &TestServer) -> Vec<(String, String)> {
    let document = server.get("/openapi.json").await.body;
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().expect("it is one") {
        for (method, operation) in operations.as_object().expect("it is one") {
            let description = operation["description"].as_str().unwrap_or_default();
            if description.contains("test control") {
                found.push((method.clone(), path.clone()));
            }
        }
    }
    found
}

#[tokio::test]
async fn test_controls_are_off_by_default_with_keys_and_name_the_setting() {
    for (builder, key) in [
        (TestServer::builder().keys(&[OURS]), OURS),
        (TestServer::builder().control(Control::Off), ""),
    ] {
        let server = builder.start().await;
        let controls = controls(&server).await;
        assert!(controls.contains(&("delete".into(), "/x/faults".into())), "{controls:?}");
        for (method, path) in controls {
            let method = method.to_uppercase();
            let reply = send(&server, key, &method, &path, &json!({})).await;
            assert_eq!(reply.status, 404, "{method} {path}: {}", reply.body);
            assert_eq!(reply.body["error"]["status"], "NOT_FOUND", "{method} {path}");
            assert!(reply.message().contains("--control"), "{method} {path}: {}", reply.message());
        }
        let request = server.request("POST", "/v1/interactions").json(&direct("print(1)"));
        let request = request.header("x-goog-api-key", key);
        let ordered = request.try_clone().expect("it is short");
        let ordered = Reply::to(ordered.header("x-belljar-fault", r#"{"status": 503}"#)).await;
        assert_eq!(ordered.status, 404, "{}", ordered.body);
        assert!(ordered.message().contains("--control"), "{}", ordered.message());
        assert_eq!(Reply::to(request).await.status, 200);
    }
    let server = TestServer::builder().keys(&[OURS]).start().await;
    assert_eq!(server.get("/x/journal").await.status, 403, "authentication comes first");
}

#[tokio::test]
async fn file_search_stores_of_another_key_do_not_exist() {
    let server = server().await;
    let stores = "/v1beta/fileSearchStores";
    let made = send(&server, OURS, "POST", stores, &json!({"displayName": "a"})).await;
    let store = made.body["name"].as_str().expect("it has one").to_owned();
    let upload = format!("/upload/v1beta/{store}:uploadToFileSearchStore");
    let started = server
        .request("POST", &upload)
        .header("x-goog-api-key", OURS)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .json(&json!({"displayName": "a.txt", "mimeType": "text/plain"}));
    let started = Reply::to(started).await;
    let url = started.headers["x-goog-upload-url"].to_str().expect("it is one");
    let rest = url.split_once("/upload/").expect("it is an upload").1;
    let finish = |key: Option<&str>| {
        let request = server
            .request("POST", &format!("/upload/{rest}"))
            .header("x-goog-upload-command", "upload, finalize")
            .header("x-goog-upload-offset", 0);
        let request = key.into_iter().fold(request, |r, key| r.header("x-goog-api-key", key));
        Reply::to(request.body("Moss is green."))
    };
    assert_eq!(finish(Some(THEIRS)).await.status, 404, "the upload is of another key");
    let done = finish(None).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let document = done.body["response"]["documentName"].as_str().expect("it has one");
    let operation = done.body["name"].as_str().expect("it has one");
    let imported = operation.replace("/upload/", "/");
    let file = json!({"fileName": "files/none"});
    for (method, path, body, ours) in [
        ("GET", store.clone(), Value::Null, 200),
        ("GET", format!("{store}/documents"), Value::Null, 200),
        ("GET", document.to_owned(), Value::Null, 200),
        ("GET", operation.to_owned(), Value::Null, 200),
        ("GET", imported, Value::Null, 200),
        ("POST", format!("{store}:importFile"), file, 403),
        ("DELETE", document.to_owned(), Value::Null, 200),
        ("DELETE", store.clone(), Value::Null, 200),
    ] {
        let path = format!("/v1beta/{path}");
        let theirs = send(&server, THEIRS, method, &path, &body).await;
        assert_eq!(theirs.status, 404, "{method} {path}: {}", theirs.body);
        assert_eq!(send(&server, OURS, method, &path, &body).await.status, ours, "{method} {path}");
    }
    assert_eq!(send(&server, THEIRS, "GET", stores, &Value::Null).await.body, json!({}));
}
