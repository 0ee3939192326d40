//! Memory of conversations and of what models generate, which all requests share.

use axum::body::Bytes;
use harness::{Reply, TestServer, recorder};
use serde_json::{Value, json};
use server::backends::gemini::Execution;

use crate::fake::{self, Act, Answer, Fake};
use crate::gemini as googles;

const INTERACTIONS: &str = "/v1beta/interactions";
const SCENARIOS: &str = "scenarios: [{ name: a, script: [text: ok] }]";

fn ask(input: &str, previous: &Value) -> Value {
    json!({"model": "m", "input": input, "previous_interaction_id": previous})
}

/// A request of some bytes loads all interactions before it.
#[tokio::test]
async fn a_conversation_takes_its_memory_before_it_is_read() {
    let scenarios = "scenarios: [{ name: slow, when: { input: { contains: slow } }, \
                     script: [delay: 10m] }, { name: a, script: [text: ok] }]";
    let server = TestServer::builder().scenarios(scenarios).output_bytes(16 << 20).start().await;
    let long = "x".repeat(1 << 20);
    let mut previous = Value::Null;
    for _ in 0..3 {
        previous = server.create(ask(&long, &previous)).await["id"].clone();
    }
    // Each is read with three copies.
    let mut slow = ask("slow", &previous);
    slow["background"] = true.into();
    let slow = server.create(slow).await;
    let refused = server.post(INTERACTIONS, &ask("?", &previous)).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.message().contains("no memory left"), "{}", refused.message());
    let path = format!("{INTERACTIONS}/{}", slow["id"].as_str().expect("it is stored"));
    assert_eq!(server.post(&format!("{path}/cancel"), &json!({})).await.status, 200);
    server.create(ask("?", &previous)).await;

    for _ in 0..3 {
        previous = server.create(ask(&long, &previous)).await["id"].clone();
    }
    let refused = server.post(INTERACTIONS, &ask("?", &previous)).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.message().contains("need more than"), "{}", refused.message());
    let path = format!("{INTERACTIONS}/{}", previous.as_str().expect("it is stored"));
    assert_eq!(server.get(&path).await.status, 200, "each alone can be read");
}

/// The share of the request's body ended with the response, and the input stayed.
#[tokio::test]
async fn interactions_in_the_background_hold_the_memory_of_their_input() {
    let scenarios = "scenarios: [{ name: a, script: [delay: 10m] }]";
    let server = TestServer::builder().scenarios(scenarios).output_bytes(12 << 20).start().await;
    let ask = || {
        let mut request = ask(&"x".repeat(1025 << 10), &Value::Null);
        request["background"] = true.into();
        request
    };
    let first = server.create(ask()).await;
    server.create(ask()).await;
    let refused = server.post(INTERACTIONS, &ask()).await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    let id = first["id"].as_str().expect("it is stored");
    assert_eq!(server.post(&format!("{INTERACTIONS}/{id}/cancel"), &json!({})).await.status, 200);
    server.create(ask()).await;
}

/// It was returned when the run ended, and a client that did not read kept the pictures.
#[tokio::test]
async fn a_stream_holds_its_memory_until_it_is_read() {
    let server = TestServer::builder().output_bytes(96 << 20).start().await;
    let path = "/v1beta/models/direct:streamGenerateContent?alt=sse";
    // More than the buffers of sockets.
    let code = "for n in range(3): open(f'{n}.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + bytes([n]) * (9 << 20))";
    let request = json!({"contents": [{"role": "user", "parts": [{"text": code}]}], "tools": [{"codeExecution": {}}]});
    let mut slow = Vec::new();
    let refused = loop {
        assert!(slow.len() < 4, "the memory is shared by all");
        let response = server.request("POST", path).json(&request).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        slow.push(response);
        let last = loop {
            let journal = server.get("/x/journal").await.body;
            let last = &journal["entries"][slow.len() - 1];
            if !last["status"].is_null() {
                break last.clone();
            }
            tokio::task::yield_now().await;
        };
        if last["status"] != "completed" {
            break last;
        }
    };
    assert!(refused.to_string().contains("no memory left"), "{refused}");
    drop(slow);
    let path = "/v1beta/models/direct:generateContent";
    let after = async {
        while server.post(path, &request).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), after).await.expect("it is returned");
}

#[tokio::test]
async fn fetched_files_stay_within_the_memory_budget() {
    let content = axum::Router::new()
        .route("/data/x.csv", axum::routing::get(|| async { "a,b\n".repeat(1 << 20) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move { axum::serve(listener, content).await });
    for (budget_mib, status) in [(3, 503), (64, 200)] {
        let server = TestServer::builder()
            .scenarios(SCENARIOS)
            .output_bytes(budget_mib << 20)
            .fetch_from(&format!("{url}/data/"))
            .start()
            .await;
        let file = json!({"type": "document", "uri": format!("{url}/data/x.csv")});
        let reply = server.post(INTERACTIONS, &json!({"model": "m", "input": [file]})).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
}

/// Outputs were taken from what all owners share.
#[tokio::test]
async fn one_key_cannot_take_the_memory_of_another() {
    let scenarios = "scenarios: [{ name: a, script: [code: \"open('p.png', 'wb').write(b'\\\\x89PNG\\\\r\\\\n\\\\x1a\\\\n' + bytes(3 << 20)) and None\", delay: 10m] }]";
    let server = TestServer::builder()
        .scenarios(scenarios)
        .keys(&["a", "b"])
        .output_bytes(16 << 20)
        .start()
        .await;
    let ask = async |key: &str| {
        let request = server.request("POST", INTERACTIONS).header("x-goog-api-key", key);
        let body = json!({"model": "m", "input": "?", "background": true, "tools": [{"type": "code_execution"}]});
        let id =
            Reply::to(request.json(&body)).await.body["id"].as_str().expect("begun").to_owned();
        // Until its picture is there, or it has failed.
        loop {
            let request = server.request("GET", &format!("{INTERACTIONS}/{id}"));
            let found = Reply::to(request.header("x-goog-api-key", key)).await;
            let status = found.body["status"].as_str().unwrap_or_default().to_owned();
            if found.status == 503
                || status == "failed"
                || found.body.to_string().contains("image/png")
            {
                return (found.status, status);
            }
        }
    };
    let mut results = Vec::new();
    for _ in 0..4 {
        results.push(ask("a").await);
    }
    assert!(results.iter().any(|(code, status)| *code == 503 || status == "failed"), "{results:?}");
    assert_eq!(ask("b").await, (200, "in_progress".to_owned()));
}

/// Each reader had a copy of its own.
#[tokio::test]
async fn readers_of_one_interaction_share_its_memory() {
    let server = TestServer::builder().scenarios(SCENARIOS).output_bytes(8 << 20).start().await;
    let answer = server.create(ask(&"x".repeat(1 << 20), &Value::Null)).await;
    let path = format!("{INTERACTIONS}/{}?stream=true", answer["id"].as_str().expect("stored"));
    let mut readers = Vec::new();
    for _ in 0..20 {
        let response = server.request("GET", &path).send().await.expect("the server answers");
        assert_eq!(response.status(), 200);
        readers.push(response);
    }
    for response in readers {
        let text = response.text().await.expect("it ends");
        assert!(text.contains("interaction.completed"), "{text:.200}");
    }
}

#[tokio::test]
async fn models_that_generate_too_many_json_values_fail() {
    let numbers = "0,".repeat(99_999) + "0";
    let deltas: Vec<Act> = (0..3)
        .map(|_| {
            let delta = format!(r#"{{"index":0,"delta":{{"type":"new","x":[{numbers}]}},"event_type":"step.delta"}}"#);
            Act::Send(format!("data: {delta}\n\n"))
        })
        .collect();
    let start = json!({"index": 0, "step": {"type": "new_call", "id": "n"}});
    let acts = [vec![googles::event("step.start", start)], deltas].concat();
    let arguments = format!(r#"{{"a":[{numbers}]}}"#);
    // Google's SDKs do not know the step.
    recorder::leave_out();
    for execution in [Execution::Sandbox, Execution::Upstream] {
        let fake = Fake::start([Answer::Stream(acts.clone())]).await;
        let server = TestServer::builder().model("m", fake.gemini(execution)).start().await;
        let reply = server.post(INTERACTIONS, &json!({"model": "m", "input": "?"})).await;
        let why = reply.body["errors"][0]["message"].as_str().unwrap_or_else(|| reply.message());
        assert!(why.contains("more than 100000"), "{execution:?}: {why}");
    }
    let call = json!({"tool_calls": [{"index": 0, "id": "c", "type": "function",
        "function": {"name": "f", "arguments": arguments}}]});
    let fake = Fake::start([fake::stream_of([call])]).await;
    let server = TestServer::builder().model("m", fake.model()).start().await;
    let tools = json!([{"type": "function", "name": "f"}]);
    let answer = server.create(json!({"model": "m", "input": "?", "tools": tools})).await;
    assert_eq!(answer["status"], "failed", "{answer:.300}");
}

/// Each line was copied with all that followed it.
#[tokio::test]
async fn a_stream_of_short_lines_is_read_in_time_and_has_a_limit() {
    let comments = Bytes::from([b":\n".repeat(25_000), b":\r".repeat(25_000)].concat());
    let answer = fake::text("Here.");
    let Answer::Stream(mut acts) = answer else { panic!("it is a stream") };
    // It was copied with each event.
    acts.insert(0, Act::Send(format!("id: {}\n{}", "a".repeat(4 << 20), "\n".repeat(20_000))));
    acts.insert(0, Act::Send(String::from_utf8(comments.to_vec()).expect("it is text")));
    let fake =
        Fake::start([Answer::Stream(acts), Answer::Stream(vec![Act::Repeat(comments)])]).await;
    let server = TestServer::builder().model("m", fake.model()).start().await;
    let answer = server.create(json!({"model": "m", "input": "?"})).await;
    assert_eq!(answer["steps"][0]["content"][0]["text"], "Here.");
    let reply = server.post(INTERACTIONS, &json!({"model": "m", "input": "?"})).await;
    // The lines before may take longer than a reply waits for its first event.
    let why = reply.body["errors"][0]["message"].as_str().unwrap_or_else(|| reply.message());
    assert!(why.contains("response too large"), "{why}");
}

/// Both ends of a line may be in different pieces.
#[tokio::test]
async fn every_end_of_a_line_ends_it() {
    for end in ["\n", "\r", "\r\n"] {
        let Answer::Stream(acts) = fake::text("Here.") else { panic!("it is a stream") };
        let bytes = acts.iter().flat_map(|act| match act {
            Act::Send(text) => text.replace('\n', end).into_bytes(),
            _ => Vec::new(),
        });
        // One byte at a time.
        let acts = bytes.map(|byte| Act::Send(char::from(byte).to_string())).collect();
        let fake = Fake::start([Answer::Stream(acts)]).await;
        let server = TestServer::builder().model("m", fake.model()).start().await;
        let answer = server.create(json!({"model": "m", "input": "?"})).await;
        assert_eq!(answer["steps"][0]["content"][0]["text"], "Here.", "{end:?}");
    }
}
