//! With a seed, equal requests get equal answers, byte by byte, including ids, signatures and times.

use serde_json::{Value, json};

use harness::TestServer;

const SCENARIOS: &str = r#"
scenarios:
  - name: calls
    when: { input: { contains: weather } }
    script:
      - thought: Think.
      - function_call: { name: get_weather, arguments: { city: Paris } }
  - name: runs
    when: { input: { contains: sum } }
    script:
      - thought: Compute.
      - code: print(1 + 1)
      - text: "It is {{ stdout | trim }}."
"#;

async fn server(seed: Option<u64>) -> TestServer {
    let builder = TestServer::builder().scenarios(SCENARIOS);
    match seed {
        Some(seed) => builder.seed(seed).start().await,
        None => builder.start().await,
    }
}

/// The answers that a suite gets: code, a function, the next turn, the other API, and the first again.
async fn suite(server: &TestServer) -> Vec<Value> {
    let sum = || json!({"model": "m", "input": "the sum?", "tools": [{"type": "code_execution"}]});
    let first = server.create(sum()).await;
    let call = server
        .create(json!({"model": "m", "input": "the weather?",
                       "tools": [{"type": "function", "name": "get_weather"}]}))
        .await;
    let mut next = sum();
    next["previous_interaction_id"] = first["id"].clone();
    let next = server.create(next).await;
    let generate = json!({"contents": [{"role": "user", "parts": [{"text": "the sum?"}]}],
                          "tools": [{"codeExecution": {}}]});
    let generated = server.post("/v1beta/models/m:generateContent", &generate).await;
    assert_eq!(generated.status, 200, "{}", generated.body);
    let again = server.create(sum()).await;
    let id = again["id"].as_str().expect("it is text");
    let kept = server.get(&format!("/v1beta/interactions/{id}")).await.body;
    vec![first, call, next, generated.body, again, kept]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_have_the_same_answers_with_the_same_seed() {
    let (one, two) = (server(Some(7)).await, server(Some(7)).await);
    // Requests of another namespace make no difference.
    let elsewhere = two.request("POST", "/v1beta/interactions");
    let elsewhere = elsewhere.header("x-belljar-namespace", "elsewhere");
    elsewhere.json(&json!({"model": "direct", "input": "1"})).send().await.expect("it answers");
    let (first, second) = (suite(&one).await, suite(&two).await);
    assert_eq!(first, second);
    let ids = |answers: &[Value]| [0, 1, 2, 4].map(|at| answers[at]["id"].clone());
    let of_one = ids(&first);
    for (at, id) in of_one.iter().enumerate() {
        assert!(id.is_string() && !of_one[..at].contains(id), "{of_one:?}");
    }
    assert_eq!(first[0]["created"], "2026-01-01T00:00:00Z");

    for seed in [Some(8), None] {
        let other = suite(&server(seed).await).await;
        assert!(ids(&other).iter().all(|id| !of_one.contains(id)), "{seed:?}");
        assert_ne!(other[3]["responseId"], first[3]["responseId"], "{seed:?}");
    }
}
