//! `/n/NAME` before a path: the namespace of clients that can set only a base URL.

use serde_json::{Value, json};

use harness::{Client, Reply, Stream, TestServer, direct};

const NAME: &str = "test_a.py::x%5B1%2F2%5D";
const DECODED: &str = "test_a.py::x[1/2]";

const FOLDER: &str = r#"
scenarios:
  - name: greeting
    when: { input: { contains: hello } }
    script: [text: Hello.]
  - name: files
    when: { input: { contains: file } }
    script:
      - code: |
          open("out.txt", "w").write(open("input_file_0.txt").read() * 2)
          print("x" * 5000)
      - text: Done.
"#;

fn at(path: &str) -> String {
    format!("/n/{NAME}{path}")
}

fn ask(input: &str) -> Value {
    json!({"model": "gemini-3-flash-preview", "input": input, "tools": [{"type": "code_execution"}]})
}

async fn journal(server: &Client, path: &str) -> Vec<Value> {
    let reply = server.get(path).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["entries"].as_array().expect("it is a list").clone()
}

#[tokio::test]
async fn every_api_is_below_the_prefix_and_the_header_names_the_same_namespace() {
    let server = TestServer::start(FOLDER).await;
    let scenario = json!({"scenarios": [{"name": "mine", "when": {"input": {"contains": "mine"}},
                                          "script": [{"text": "Mine."}]}]});
    let added = server.post(&at("/x/scenarios"), &scenario).await;
    assert_eq!((added.status, &added.body["namespace"]), (200, &json!(DECODED)));

    let made = server.post(&at("/v1beta/interactions"), &ask("mine")).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let id = made.body["id"].as_str().expect("it was stored");
    let read = server.get(&at(&format!("/v1/interactions/{id}"))).await;
    assert_eq!(read.body["id"], made.body["id"], "{}", read.body);
    let body = json!({"contents": [{"parts": [{"text": "mine"}]}]});
    let models = "/v1beta/models/gemini-3-flash-preview";
    let generated = server.post(&at(&format!("{models}:generateContent")), &body).await;
    assert_eq!(generated.body["candidates"][0]["content"]["parts"][0]["text"], "Mine.");
    for (path, wanted) in [
        (models, 200),
        ("/v1beta/files", 200),
        ("/x/isolation", 200),
        ("/healthz", 200),
        ("/docs", 200),
        ("", 200),
        ("/", 200),
        ("/v2/models", 404),
        ("/n/other/v1beta/models", 404),
    ] {
        assert_eq!(server.get(&at(path)).await.status, wanted, "{path}");
    }
    let ran = server.post(&at("/x/execute"), &json!({"code": "print(6 * 7)"})).await;
    assert_eq!(ran.body["stdout"], "42\n");

    let missed = server.post("/v1beta/interactions", &ask("mine")).await;
    assert_eq!(missed.status, 400, "the scenario is in another namespace");
    let with_header = server.request("GET", "/x/journal").header("x-belljar-namespace", DECODED);
    let by_header = Reply::to(with_header).await.body;
    let by_path = server.get(&at("/x/journal")).await.body;
    assert_eq!(by_header, by_path);
    assert_eq!(by_path["entries"].as_array().map(Vec::len), Some(2), "{by_path}");
    assert_eq!(journal(&server, "/x/journal").await.len(), 1);

    let fault = json!({"status": 503, "times": 1});
    assert_eq!(server.post(&at("/x/faults"), &fault).await.status, 200);
    assert_eq!(server.post("/v1beta/interactions", &ask("hello")).await.status, 200);
    assert_eq!(server.post(&at("/v1beta/interactions"), &ask("hello")).await.status, 503);
    assert_eq!(server.post(&at("/v1beta/interactions"), &ask("hello")).await.status, 200);
}

#[tokio::test]
async fn the_urls_of_uploads_and_files_keep_the_prefix() {
    let server = TestServer::start(FOLDER).await;
    let start = server
        .request("POST", &at("/upload/v1beta/files"))
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start");
    let started = Reply::to(start.json(&json!({"file": {"mimeType": "text/plain"}}))).await;
    let url = started.headers["x-goog-upload-url"].to_str().expect("it is text");
    let path = url.strip_prefix(server.url()).expect("the address is the client's own");
    assert!(path.starts_with(&at("/upload/v1beta/files?")), "{path}");
    let chunk = server
        .request("POST", path)
        .header("x-goog-upload-command", "upload, finalize")
        .header("x-goog-upload-offset", 0);
    let file = Reply::to(chunk.body("ab")).await.body;
    let uri = file["file"]["uri"].as_str().expect("it has one");
    let path = uri.strip_prefix(server.url()).expect("the address is the client's own");
    assert!(path.starts_with(&at("/v1beta/files/")), "{path}");
    assert_eq!(server.get(path).await.body["uri"], uri);

    let mut request = ask("");
    request["input"] = json!([{"type": "text", "text": "the file"},
                              {"type": "document", "uri": uri, "mime_type": "text/plain"}]);
    let made = server.post(&at("/v1beta/interactions"), &request).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let entries = journal(&server, &at("/x/journal")).await;
    let run = &entries[0]["runs"][0];
    assert_eq!(run["files"], json!([{"name": "out.txt", "bytes": 4}]));
    assert_eq!((&run["is_cut"], run["stdout"].as_str().map(str::len)), (&json!(true), Some(2051)));
    let whole = server.get(&at("/x/journal/1/runs/1")).await;
    assert_eq!((whole.status, &whole.body["outcome"]), (200, &json!("ok")), "{}", whole.body);
    assert_eq!(whole.body["stdout"], format!("{}\n", "x".repeat(5000)));
    assert_eq!(whole.body["files"], json!([{"name": "out.txt", "data": "YWJhYg=="}]));
    for (path, wanted) in [
        ("/x/journal/1/runs/2", 404),
        ("/x/journal/1/runs/0", 404),
        ("/x/journal/2/runs/1", 404),
        ("/x/journal/one/runs/1", 400),
    ] {
        assert_eq!(server.get(&at(path)).await.status, wanted, "{path}");
    }
    assert_eq!(server.get("/x/journal/1/runs/1").await.status, 404, "another namespace");
}

#[tokio::test]
async fn a_stream_is_resumed_below_the_prefix() {
    let server = TestServer::start(FOLDER).await;
    let mut request = direct("print(6 * 7)");
    request["stream"] = true.into();
    let created = server.request("POST", &at("/v1beta/interactions")).json(&request);
    let all = Stream::of(created).await.rest().await;
    let id = all[0].data["interaction"]["id"].as_str().expect("the first event has the id");
    let path = at(&format!("/v1beta/interactions/{id}?stream=true&last_event_id={}", all[1].id()));
    let rest = Stream::of(server.request("GET", &path)).await.rest().await;
    assert!(rest.len() > 2, "{rest:?}");
    assert_eq!(rest, all[2..]);
}

#[tokio::test]
async fn an_invalid_name_is_rejected_on_every_route() {
    let server = TestServer::start(FOLDER).await;
    let long = "x".repeat(129);
    for name in ["a%20b", "%C3%A4", "%", &long] {
        let wanted = if name == "%" { 200 } else { 400 };
        for path in ["/v1beta/models", "/v1beta/files", "/x/journal", "/docs"] {
            let reply = server.get(&format!("/n/{name}{path}")).await;
            assert_eq!(reply.status, wanted, "{name} {path}: {}", reply.body);
            let names_it = || reply.message().contains("expected 1 to 128 visible ASCII");
            assert!(wanted == 200 || names_it(), "{}", reply.body);
        }
    }
    for path in ["/n", "/n/"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    let both = server.request("GET", &at("/x/journal")).header("x-belljar-namespace", "other");
    let reply = Reply::to(both).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("different namespaces"), "{}", reply.message());
}

#[tokio::test]
async fn near_misses_are_in_the_journal_nearest_first() {
    let server = TestServer::start(FOLDER).await;
    let missed = server.post(&at("/v1beta/interactions"), &ask("hell, you")).await;
    assert_eq!(missed.status, 400);
    let entries = journal(&server, &at("/x/journal")).await;
    let near = &entries[0]["near_misses"];
    assert_eq!(near[0]["scenario"], "greeting", "{near}");
    let condition = &near[0]["missed"][0];
    assert_eq!(condition["condition"], "input.contains", "{near}");
    assert!(condition["got"].as_str().is_some_and(|got| got.contains("hell, you")), "{near}");
    assert_eq!(near.as_array().map(Vec::len), Some(2), "{near}");
    let answered = server.post(&at("/v1beta/interactions"), &ask("hello")).await;
    assert_eq!(answered.status, 200);
    assert_eq!(journal(&server, &at("/x/journal")).await[1]["near_misses"], json!([]));
}
