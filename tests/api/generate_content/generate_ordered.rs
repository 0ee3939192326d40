//! Test controls with `generateContent`: failures, finish reasons, faults, namespaces.

use serde_json::{Value, json};

use harness::{Reply, TestServer};

const GENERATE: &str = "/v1beta/models/gemini-3-flash-preview:generateContent";
const STREAM: &str = "/v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse";

const ORDERS: &str = r#"
scenarios:
  - name: in the middle
    when: { input: { contains: in the middle } }
    script:
      - code: print(1)
      - fail: { status: 429, message: "No more.", retry_after: 1500ms }
  - name: cut
    when: { input: { contains: cut } }
    script:
      - code: print(1)
      - disconnect: true
  - name: unsafe
    when: { input: { contains: unsafe } }
    script:
      - text: "Well, "
      - finish: SAFETY
"#;

fn ask(input: &str) -> Value {
    json!({"contents": [{"parts": [{"text": input}]}], "tools": [{"codeExecution": {}}]})
}

/// The last object of a stream that ends normally.
async fn last_of_stream(server: &TestServer, input: &str) -> Value {
    let request = server.request("POST", STREAM).json(&ask(input));
    let text = request.send().await.expect("it begins").text().await.expect("it is not cut");
    let last = text.trim_end().rsplit("\r\n\r\n").next().expect("there is one");
    serde_json::from_str(last.strip_prefix("data: ").unwrap_or(last)).expect("it is JSON")
}

#[tokio::test]
async fn a_failure_after_code_is_the_answer() {
    let server = TestServer::start(ORDERS).await;
    let reply = server.post(GENERATE, &ask("in the middle")).await;
    let error = json!({"error": {
        "code": 429, "message": "No more.", "status": "RESOURCE_EXHAUSTED",
    }});
    assert_eq!((reply.status, &reply.body), (429, &error));
    assert_eq!(reply.headers["retry-after"], "2", "seconds, rounded up");
    assert_eq!(last_of_stream(&server, "in the middle").await, error);
}

#[tokio::test]
async fn a_scripted_drop_closes_the_connection() {
    let server = TestServer::start(ORDERS).await;
    let whole = server.request("POST", GENERATE).json(&ask("cut")).send().await;
    let whole = match whole {
        Ok(response) => response.bytes().await,
        Err(error) => Err(error),
    };
    assert!(whole.is_err(), "{whole:?}");

    let streamed = server.request("POST", STREAM).json(&ask("cut")).send().await;
    let mut streamed = streamed.expect("it begins");
    let mut seen = Vec::new();
    while let Ok(piece) = streamed.chunk().await {
        seen.extend(piece.expect("it has no end"));
    }
    let seen = String::from_utf8(seen).expect("it is text");
    assert!(seen.contains("OUTCOME_OK") && !seen.contains("error"), "{seen}");
}

#[tokio::test]
async fn a_finish_reason_is_returned() {
    let server = TestServer::start(ORDERS).await;
    let reply = server.post(GENERATE, &ask("unsafe")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    for answer in [reply.body, last_of_stream(&server, "unsafe").await] {
        assert_eq!(answer["candidates"][0]["finishReason"], "SAFETY", "{answer}");
        assert_eq!(answer["usageMetadata"], Value::Null);
    }
}

#[tokio::test]
async fn faults_apply_to_replies_and_streams() {
    let server = TestServer::start("").await;
    let ask = |path: &str, fault: Value| {
        let request = server.request("POST", path).header("x-belljar-fault", fault.to_string());
        request.json(&json!({"contents": [{"parts": [{"text": "print(6 * 7)"}]}]}))
    };
    let reply = Reply::to(ask(GENERATE, json!({"status": 503, "message": "Not now."}))).await;
    assert_eq!((reply.status, reply.message()), (503, "Not now."));
    assert_eq!(reply.body["error"]["status"], "UNAVAILABLE");

    let direct = "/v1beta/models/direct:streamGenerateContent?alt=sse";
    for (after, is_cut) in [(1, true), (100, false)] {
        let fault = json!({"drop_after_events": after});
        let response = ask(direct, fault).send().await.expect("it begins");
        assert_eq!(response.bytes().await.is_err(), is_cut, "after {after}");
    }
}

#[tokio::test]
async fn a_namespace_has_its_own_scenarios_and_journal() {
    let server = TestServer::start("").await;
    let send = |method: &str, path: &str, namespace: &str, body: Value| {
        let request = server.request(method, path).header("x-belljar-namespace", namespace);
        Reply::to(request.json(&body))
    };
    let hello = json!({"scenarios": [{"name": "hello", "script": [{"text": "Hello."}]}]});
    let added = send("POST", "/x/scenarios", "a", hello).await;
    assert!(added.status < 300, "{}", added.body);

    let answer = send("POST", GENERATE, "a", ask("?")).await.body;
    assert_eq!(answer["candidates"][0]["content"]["parts"][0]["text"], "Hello.");
    let elsewhere = send("POST", GENERATE, "b", ask("?")).await;
    assert_eq!(elsewhere.status, 400, "no scenario matches there: {}", elsewhere.body);
    for namespace in ["a", "b"] {
        let journal = send("GET", "/x/journal", namespace, Value::Null).await.body;
        assert_eq!(journal["entries"].as_array().map(Vec::len), Some(1), "{journal}");
    }
}
