//! What Vertex AI answers differently.

use serde_json::{Value, json};

use harness::recorder::{self, Kind};
use harness::{Client, Reply, TestServer};

const MODEL: &str = "/v1beta1/projects/p/locations/l/publishers/google/models/gemini-3.8-flash";
const SCENARIOS: &str = "scenarios:\n  - name: answer\n    script:\n      - thought: I'll compute it.\n      - code: print(6*7)\n      - text: The answer is 42.\n";

fn question() -> Value {
    json!({
        "contents": [{"role": "user", "parts": [{"text": "What is 6 * 7?"}]}],
        "tools": [{"codeExecution": {}}],
    })
}

/// The chunks of a stream, and its text.
async fn streamed(server: &Client, path: &str, request: &Value) -> (Vec<Value>, String) {
    let response = server.request("POST", path).json(request).send().await;
    let response = response.expect("the server answers");
    assert_eq!(response.status().as_u16(), 200);
    let text = response.text().await.expect("the stream is not cut");
    let chunks = match text.strip_prefix("data: ") {
        Some(_) => {
            let data = text.split_terminator("\r\n\r\n").map(|frame| {
                serde_json::from_str(frame.strip_prefix("data: ").expect("there is only data"))
            });
            data.collect::<Result<_, _>>()
        }
        None => serde_json::from_str(&text),
    };
    let chunks: Vec<Value> = chunks.expect("it is JSON");
    for chunk in &chunks {
        recorder::record(Kind::Piece, "POST", path, 200, chunk);
    }
    (chunks, text)
}

#[tokio::test]
async fn an_answer_has_the_fields_of_vertex() {
    let server = TestServer::start(SCENARIOS).await;
    for (header, word, traffic) in [
        ("x-server-timeout", "20", "ON_DEMAND"),
        ("x-vertex-ai-llm-shared-request-type", "flex", "ON_DEMAND_FLEX"),
        ("x-vertex-ai-llm-shared-request-type", "priority", "ON_DEMAND_PRIORITY"),
        ("x-vertex-ai-llm-request-type", "dedicated", "PROVISIONED_THROUGHPUT"),
    ] {
        let path = format!("{MODEL}:generateContent");
        let request = server.request("POST", &path).header(header, word).json(&question());
        let Reply { status, body, .. } = Reply::to(request).await;
        assert_eq!(status, 200, "{body}");
        let used = &body["usageMetadata"];
        assert_eq!((&used["trafficType"], used.get("serviceTier")), (&json!(traffic), None));
        assert_eq!(body["candidates"][0].get("index"), None, "{body}");
        assert_eq!(body["candidates"][0].get("groundingMetadata"), None, "{body}");
        let time = body["createTime"].as_str().expect("it is text");
        assert_eq!((time.len(), &time[19..20], &time[26..]), (27, ".", "Z"), "{time}");
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
}

#[tokio::test]
async fn fields_that_vertex_does_not_have_are_refused() {
    let server = TestServer::start(SCENARIOS).await;
    for (field, value, wanted) in [
        ("serviceTier", json!("flex"), "Unknown name \"serviceTier\""),
        ("tools", json!([{}, {"codeExecution": {}}]), "a tool must not be empty"),
    ] {
        let mut request = question();
        request[field] = value;
        let reply = server.post(&format!("{MODEL}:generateContent"), &request).await;
        assert_eq!(reply.status, 400, "{field}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{}", reply.message());
        let reply = server.post("/v1beta/models/gemini-3.8-flash:generateContent", &request).await;
        assert_eq!(reply.status, 200, "the Gemini API accepts {field}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_search_that_was_not_used_leaves_empty_metadata() {
    let server =
        TestServer::start("scenarios:\n  - name: a\n    script:\n      - text: Hello.\n").await;
    let mut request = question();
    request["tools"] = json!([{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]);
    let reply = server.post(&format!("{MODEL}:generateContent"), &request).await;
    assert_eq!(reply.body["candidates"][0]["groundingMetadata"], json!({}), "{}", reply.body);
}

#[tokio::test]
async fn a_stream_counts_at_its_end_only() {
    let server = TestServer::start(SCENARIOS).await;
    let (events, text) =
        streamed(&server, &format!("{MODEL}:streamGenerateContent?alt=sse"), &question()).await;
    assert!(text.starts_with("data: {") && text.ends_with("}\r\n\r\n"), "{text}");
    let (list, text) =
        streamed(&server, &format!("{MODEL}:streamGenerateContent"), &question()).await;
    assert!(text.starts_with("[{") && text.ends_with("}]"), "{text}");
    for chunks in [events, list] {
        let (last, before) = chunks.split_last().expect("there are chunks");
        assert!(before.len() > 2, "{chunks:?}");
        for chunk in before {
            assert_eq!(chunk["usageMetadata"], json!({"trafficType": "ON_DEMAND"}), "{chunk}");
            assert_eq!(chunk["candidates"][0].get("index"), None, "{chunk}");
        }
        assert!(last["usageMetadata"]["totalTokenCount"].as_u64() > Some(0), "{last}");
        assert_eq!(last["createTime"], before[0]["createTime"]);
    }
}

#[tokio::test]
async fn a_whole_request_is_counted_with_its_characters() {
    let server = TestServer::start("").await;
    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "What is 6 * 7?"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"temperature": 0.5},
    });
    let counted = server.post(&format!("{MODEL}:countTokens"), &request).await;
    let wanted = json!({
        "totalTokens": 7,
        "totalBillableCharacters": 10 + 8,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
    });
    assert_eq!((counted.status, counted.body), (200, wanted));
}

#[tokio::test]
async fn tokens_can_be_computed() {
    let server = TestServer::start("").await;
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]});
    let computed = server.post(&format!("{MODEL}:computeTokens"), &request).await;
    assert_eq!(computed.status, 200, "{}", computed.body);
    let tokens = &computed.body["tokensInfo"][0];
    assert_eq!(
        (&tokens["role"], &tokens["tokens"]),
        (&json!("user"), &json!(["aGVsbA==", "bw=="]))
    );
    let again = server.post(&format!("{MODEL}:computeTokens"), &request).await;
    assert_eq!(again.body, computed.body, "ids are the same each time");
    let long = "a".repeat(1 << 20);
    let long = json!({"contents": {"role": "user", "parts": [{"text": long}]}});
    let refused = server.post(&format!("{MODEL}:computeTokens"), &long).await;
    let why = refused.body["error"]["message"].as_str().expect("it is text");
    assert!(why.contains("at most 1048576 bytes"), "{why}");
    let mut unknown = request.clone();
    unknown["\u{e9}".repeat(100_000)] = json!(1);
    let refused = server.post(&format!("{MODEL}:computeTokens"), &unknown).await;
    let why = refused.body["error"]["message"].as_str().expect("it is text");
    assert!(why.len() < 17 << 10 && why.ends_with('…'), "{why:.200}");
    let missing =
        json!({"batch": {"inputConfig": {"fileName": format!("files/{}", "a".repeat(100_000))}}});
    let refused = server.post("/v1beta/models/direct:batchGenerateContent", &missing).await;
    assert!(refused.message().len() < 17 << 10, "{:.200}", refused.message());
    let gemini = server.post("/v1beta/models/gemini-3.8-flash:computeTokens", &request).await;
    assert_eq!(gemini.status, 404, "{}", gemini.body);
}

#[tokio::test]
async fn errors_have_the_texts_of_vertex() {
    let server = TestServer::builder().catalog(&["a"]).keys(&["key"]).start().await;
    let ask = |path: &str, key: Option<&str>| {
        let request = server.request("POST", path).json(&question());
        Reply::to(match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
    };
    let path = format!("{MODEL}:generateContent");
    let none = ask(&path, None).await;
    assert_eq!((none.status, &none.body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    assert!(none.message().starts_with("Request is missing required authentication credential."));
    assert_eq!(ask(&path, Some("another")).await.status, 401);
    let unknown = ask(&path, Some("key")).await;
    assert_eq!((unknown.status, &unknown.body["error"]["status"]), (404, &json!("NOT_FOUND")));
    let named = "Publisher Model `projects/p/locations/l/publishers/google/models/gemini-3.8-flash` was not found";
    assert!(unknown.message().starts_with(named), "{}", unknown.message());
    // In the list that a stream without events is.
    let path = format!("{MODEL}:streamGenerateContent");
    let in_list = ask(&path, Some("key")).await;
    assert_eq!((in_list.status, &in_list.body[0]), (404, &unknown.body));
    let as_event = ask(&format!("{path}?alt=sse"), Some("key")).await;
    assert_eq!(as_event.body, unknown.body);
}
