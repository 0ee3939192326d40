//! Batches: many requests that run in the background.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use harness::{Client, Program, Reply, TestServer};

const CREATE: &str = "/v1beta/models/direct:batchGenerateContent";
/// Everything here ends much sooner.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// A request to the model that runs the code it is sent.
fn run(code: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": code}]}], "tools": [{"codeExecution": {}}]})
}

fn inline(requests: Value) -> Value {
    json!({"batch": {"displayName": "night", "inputConfig": {"requests": {"requests": requests}}}})
}

async fn create(server: &Client, body: &Value) -> Value {
    let reply = server.post(CREATE, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn path(batch: &Value) -> String {
    format!("/v1beta/{}", batch["name"].as_str().expect("it is text"))
}

/// Asks for the batch until this holds. Nothing announces a change.
async fn until(server: &Client, batch: &Value, holds: impl Fn(&Value) -> bool) -> Value {
    let path = path(batch);
    let asked = async {
        loop {
            let reply = server.get(&path).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            if holds(&reply.body) {
                return reply.body;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(ENDS_WITHIN, asked).await.expect("it holds in time")
}

async fn done(server: &Client, batch: &Value) -> Value {
    until(server, batch, |batch| batch["done"] == true).await
}

fn results(batch: &Value) -> &Vec<Value> {
    let list = &batch["metadata"]["output"]["inlinedResponses"]["inlinedResponses"];
    list.as_array().unwrap_or_else(|| panic!("no results in {batch}"))
}

fn output(response: &Value) -> &str {
    let parts = response["candidates"][0]["content"]["parts"].as_array().expect("it has parts");
    parts.iter().find_map(|part| part["codeExecutionResult"]["output"].as_str()).unwrap_or_default()
}

async fn upload(server: &Client, content: &str) -> String {
    let start = server
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start");
    let about = json!({"file": {"mimeType": "application/jsonl"}});
    let started = Reply::to(start.json(&about)).await;
    let url = started.headers["x-goog-upload-url"].to_str().expect("it is text");
    let send = server
        .request("POST", url.strip_prefix(server.url()).expect("it is ours"))
        .header("x-goog-upload-command", "upload, finalize")
        .header("x-goog-upload-offset", 0);
    let sent = Reply::to(send.body(content.to_owned())).await;
    sent.body["file"]["name"].as_str().expect("it is uploaded").to_owned()
}

#[tokio::test]
async fn results_are_in_order_and_a_failed_request_fails_alone() {
    let server = TestServer::start("").await;
    let requests = json!([
        {"request": run("print('first')"), "metadata": {"key": "a", "run": 7}},
        {"request": {"contents": [], "model": "models/direct"}, "metadata": {"key": "b"}},
        {"request": run("print('third')")},
    ]);
    let begun = create(&server, &inline(requests)).await;
    assert_eq!(begun.get("done"), None);
    assert_eq!(begun["metadata"]["state"], "BATCH_STATE_PENDING");
    let stats = json!({"requestCount": "3", "pendingRequestCount": "3"});
    assert_eq!(begun["metadata"]["batchStats"], stats);

    let batch = done(&server, &begun).await;
    assert_eq!(batch["metadata"]["state"], "BATCH_STATE_SUCCEEDED");
    assert!(batch["metadata"]["endTime"].is_string());
    let stats =
        json!({"requestCount": "3", "successfulRequestCount": "2", "failedRequestCount": "1"});
    assert_eq!(batch["metadata"]["batchStats"], stats);
    let [first, second, third] = &results(&batch)[..] else { panic!("{batch}") };
    assert_eq!(output(&first["response"]), "first\n");
    assert_eq!(first["metadata"], json!({"key": "a", "run": 7}));
    assert_eq!((&second["error"]["code"], &second["metadata"]["key"]), (&json!(3), &json!("b")));
    let why = second["error"]["message"].as_str().expect("it is text");
    assert!(why.contains("contents is not specified"), "{why}");
    assert_eq!((output(&third["response"]), third.get("metadata")), ("third\n", None));
    assert_eq!(
        batch["response"]["inlinedResponses"],
        batch["metadata"]["output"]["inlinedResponses"]
    );

    let listed = server.get("/v1beta/batches?pageSize=5").await.body;
    let [shown] = &listed["operations"].as_array().expect("it is a list")[..] else {
        panic!("{listed}")
    };
    assert_eq!((&shown["name"], &shown["done"]), (&begun["name"], &json!(true)));
    assert_eq!(shown["metadata"].get("output"), None, "lists leave the results out");

    assert_eq!(server.delete(&path(&begun)).await.body, json!({}));
    let reply = server.get(&path(&begun)).await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (404, &json!("NOT_FOUND")));
    assert_eq!(server.get("/v1beta/batches").await.body, json!({}));
}

#[tokio::test]
async fn a_file_of_requests_becomes_a_file_of_results() {
    let server = TestServer::start("").await;
    let line = |key: &str, code: &str| json!({"key": key, "request": run(code)}).to_string();
    let snake = json!({"key": "snake", "request": {
        "contents": [{"parts": [{"text": "print(3)"}]}], "tools": [{"code_execution": {}}]}});
    let file = [line("one", "print(1)"), "nonsense".into(), String::new(), snake.to_string()];
    let name = upload(&server, &file.join("\n")).await;
    let body = json!({"batch": {"displayName": "f", "inputConfig": {"file_name": name}}});
    let batch = done(&server, &create(&server, &body).await).await;
    assert_eq!(batch["metadata"]["batchStats"]["failedRequestCount"], "1");
    let results = batch["metadata"]["output"]["responsesFile"].as_str().expect("it is a file");
    let id = batch["name"].as_str().expect("it is text").replace("batches/", "");
    assert_eq!(results, format!("files/batch-{id}"));

    let about = server.get(&format!("/v1beta/{results}")).await.body;
    assert_eq!((&about["name"], &about["source"]), (&json!(results), &json!("GENERATED")));
    let url = format!("/v1beta/{results}:download?alt=media");
    let text = server.request("GET", &url).send().await.expect("the server answers").text().await;
    let text = text.expect("it is whole");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let [one, nonsense, snake] = &lines[..] else { panic!("{text}") };
    assert_eq!((&one["key"], output(&one["response"])), (&json!("one"), "1\n"));
    assert_eq!(nonsense["error"]["code"], 3);
    assert_eq!((&snake["key"], output(&snake["response"])), (&json!("snake"), "3\n"));
}

#[tokio::test]
async fn a_running_batch_is_cancelled() {
    let server = TestServer::start("").await;
    let requests = json!([{"request": run("print(1)")}, {"request": run("while True: pass")}]);
    let begun = create(&server, &inline(requests)).await;
    let one_done = |batch: &Value| batch["metadata"]["batchStats"]["successfulRequestCount"] == "1";
    let running = until(&server, &begun, one_done).await;
    assert_eq!(running["metadata"]["state"], "BATCH_STATE_RUNNING");
    let reply = server.post(&format!("{}:cancel", path(&begun)), &json!({})).await;
    assert_eq!((reply.status, reply.body), (200, json!({})));
    let cancelled = server.get(&path(&begun)).await.body;
    assert_eq!(cancelled["metadata"]["state"], "BATCH_STATE_CANCELLED");
    assert_eq!((&cancelled["done"], &cancelled["error"]["code"]), (&json!(true), &json!(1)));
    assert_eq!(results(&cancelled).len(), 1, "what was done is kept");
}

#[tokio::test]
async fn a_cached_content_and_functions_work_in_a_batch() {
    let server = TestServer::start(
        "scenarios:\n  - name: call\n    when: { turn: 2, tools: [f] }\n    script:\n      \
         - function_call: { name: f, arguments: {} }\n",
    )
    .await;
    let cache = json!({"model": "models/m", "contents": [{"parts": [{"text": "a"}]}],
                       "tools": [{"functionDeclarations": [{"name": "f"}]}]});
    let cache = server.post("/v1beta/cachedContents", &cache).await.body;
    let request = json!({"contents": [{"parts": [{"text": "b"}]}], "cachedContent": cache["name"]});
    let reply = server
        .post("/v1beta/models/m:batchGenerateContent", &inline(json!([{"request": request}])))
        .await;
    let batch = done(&server, &reply.body).await;
    let response = &results(&batch)[0]["response"];
    let part = &response["candidates"][0]["content"]["parts"][0];
    assert_eq!(part["functionCall"]["name"], "f", "{response}");
    assert_eq!(response["usageMetadata"]["cachedContentTokenCount"], 1);
}

#[tokio::test]
async fn an_invalid_batch_is_rejected() {
    let server = TestServer::builder().catalog(&["direct"]).start().await;
    let none = json!({"batch": {"inputConfig": {"fileName": "files/none"}}});
    for (path, body, status, wanted) in [
        (CREATE, inline(json!([])), 400, "must not be empty"),
        (CREATE, inline(json!([{"request": {"model": "models/other"}}])), 400, "models/other"),
        (CREATE, none, 403, "File none"),
        ("/v1beta/models/no:batchGenerateContent", inline(json!([])), 404, "models/no"),
    ] {
        let reply = server.post(path, &body).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(reply.message().contains(wanted), "{}", reply.message());
    }
    assert_eq!(server.post("/v1beta/batches/none:cancel", &json!({})).await.status, 404);
    assert_eq!(server.delete("/v1beta/batches/none").await.status, 404);
}

/// Scenarios for a question whose answer is slow, or is not.
fn scenarios(folder: &Path, delay: &str) {
    let yaml = format!(
        "scenarios:\n  - name: slow\n    when: {{ input: {{ equals: slow }} }}\n    script:\n      \
         - delay: {delay}\n      - text: after all\n  - name: fast\n    script:\n      - text: at once\n"
    );
    std::fs::write(folder.join("a.yaml"), yaml).expect("the folder is the test's");
}

#[tokio::test]
async fn a_batch_goes_on_after_its_server_was_killed() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let arguments = ["--scenarios", folder.path().to_str().expect("it is text")];
    scenarios(folder.path(), "600s");
    let ask = |text: &str| json!({"request": {"contents": [{"parts": [{"text": text}]}]}});
    let body = inline(json!([ask("slow"), ask("fast")]));
    let begun = {
        let server = Program::start(data.path(), &arguments);
        let client = Client::new(server.url().to_owned());
        let reply = client.post("/v1beta/models/m:batchGenerateContent", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let one_done =
            |batch: &Value| batch["metadata"]["batchStats"]["successfulRequestCount"] == "1";
        until(&client, &reply.body, one_done).await;
        server.kill();
        reply.body
    };
    scenarios(folder.path(), "0s");
    let server = Program::start(data.path(), &arguments);
    let client = Client::new(server.url().to_owned());
    let batch = done(&client, &begun).await;
    let text = |at: usize| {
        results(&batch)[at]["response"]["candidates"][0]["content"]["parts"][0]["text"].clone()
    };
    assert_eq!([text(0), text(1)], ["after all", "at once"]);
    assert_eq!(batch["metadata"]["batchStats"]["successfulRequestCount"], "2");
}

/// The results are read from the database while they are sent, so that all of them may be larger than what is
/// free for one key.
#[tokio::test]
async fn results_larger_than_the_memory_of_a_key_are_sent() {
    let server = TestServer::start("").await;
    let request = json!({"request": run("print('x' * 900_000)")});
    let begun = create(&server, &inline(json!(vec![request; 60]))).await;
    let batch = done(&server, &begun).await;
    let results = results(&batch);
    assert_eq!(results.len(), 60);
    assert!(results.iter().all(|result| output(&result["response"]).len() == 900_001), "whole");
}

/// What a client sends to recognise a result counts like the request, and has a limit of its own.
/// Its request took three quarters of the memory, and then it waited for half of it.
#[tokio::test]
async fn a_line_does_not_wait_for_memory_that_it_holds() {
    let server = TestServer::builder().output_bytes(16 << 20).start().await;
    let mut request =
        run("open('p.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(3 << 20)) and None");
    request["systemInstruction"] = json!({"parts": [{"text": "a".repeat(3 << 19)}]});
    let batch = create(&server, &inline(json!([{"request": request}]))).await;
    let batch = done(&server, &batch).await;
    let parts = results(&batch)[0]["response"]["candidates"][0]["content"]["parts"].as_array();
    let parts = parts.unwrap_or_else(|| panic!("no answer in {batch:.1000}"));
    assert!(parts.iter().any(|part| part["inlineData"]["data"].is_string()), "no picture");
    let after = server.post("/x/execute", &json!({"code": "print(1)"})).await;
    assert_eq!(after.body["stdout"], "1\n", "{}", after.body);
}

#[tokio::test]
async fn long_keys_are_refused() {
    let server = TestServer::start("").await;
    let long = "k".repeat(65_536);
    let body = inline(json!([{"request": run("pass"), "metadata": {"key": long}}]));
    let reply = server.post(CREATE, &body).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let why = reply.body["error"]["message"].as_str().expect("it is text");
    assert!(why.contains("its metadata is longer than 65536 bytes"), "{why}");

    let [short, long] =
        ["a", &long].map(|key| json!({"key": key, "request": run("print(1)")}).to_string());
    let file = upload(&server, &format!("{long}\n{short}\n")).await;
    let begun = create(&server, &json!({"batch": {"inputConfig": {"fileName": file}}})).await;
    let batch = done(&server, &begun).await;
    assert_eq!(batch["metadata"]["batchStats"]["failedRequestCount"], "1");
    assert_eq!(batch["metadata"]["batchStats"]["successfulRequestCount"], "1");
}

#[tokio::test]
async fn contents_are_embedded_in_the_background() {
    let server = TestServer::start("").await;
    let model = "/v1beta/models/gemini-embedding-2";
    let embed =
        |text: &str| json!({"content": {"parts": [{"text": text}]}, "outputDimensionality": 8});
    let requests = json!([
        {"request": embed("a red house"), "metadata": {"key": "a"}},
        {"request": embed("")},
    ]);
    let path = format!("{model}:asyncBatchEmbedContent");
    let begun = server.post(&path, &inline(requests)).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let batch = done(&server, &begun.body).await;
    let kind = batch["metadata"]["@type"].as_str().expect("it is text");
    assert!(kind.ends_with(".EmbedContentBatch"), "{kind}");
    let [first, second] = &results(&batch)[..] else { panic!("{batch}") };
    let alone = server.post(&format!("{model}:embedContent"), &embed("a red house")).await.body;
    assert_eq!(first["response"], json!({"embedding": alone["embedding"], "tokenCount": "3"}));
    assert_eq!((&first["metadata"]["key"], &second["error"]["code"]), (&json!("a"), &json!(3)));

    let line = json!({"key": "k", "request": embed("b")}).to_string();
    let name = upload(&server, &line).await;
    let body = json!({"batch": {"inputConfig": {"file_name": name}}});
    let batch = done(&server, &server.post(&path, &body).await.body).await;
    let file = batch["metadata"]["output"]["responsesFile"].as_str().expect("it is a file");
    let lines = server.get(&format!("/v1beta/{file}:download?alt=media")).await.body;
    assert_eq!((&lines["key"], &lines["response"]["tokenCount"]), (&json!("k"), &json!("1")));

    let path = "/v1beta/models/direct:asyncBatchEmbedContent";
    let reply = server.post(path, &inline(json!([{"request": embed("a")}]))).await;
    assert_eq!(reply.status, 404, "{}", reply.body);
}
