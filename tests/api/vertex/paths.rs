//! The paths of Vertex AI and Firebase: all lead to the methods of the Gemini API.

use serde_json::{Value, json};

use harness::{Reply, TestServer, direct};

const P: &str = "/v1beta1/projects/p/locations/l";

fn run(code: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": code}]}], "tools": [{"codeExecution": {}}]})
}

fn output(reply: &Reply) -> &Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let parts = reply.body["candidates"][0]["content"]["parts"].as_array().expect("it has parts");
    let result = parts.iter().find_map(|part| part.get("codeExecutionResult"));
    &result.expect("the code ran")["output"]
}

#[tokio::test]
async fn a_model_is_called_under_every_path_that_clients_send() {
    let server = TestServer::start("").await;
    for path in [
        // With a project: any name, and those that clients without one send.
        "/v1beta1/projects/p/locations/l/publishers/google/models/direct",
        "/v1/projects/123/locations/global/publishers/google/models/direct",
        "/v1beta1/projects/None/locations/None/publishers/google/models/direct",
        "/v1beta1/projects/undefined/locations/undefined/publishers/google/models/direct",
        "/v1beta1/projects//locations//publishers/google/models/direct",
        "/v1beta1/projects/p/locations/l/models/direct",
        "/v1beta1/projects/p/locations/l/publishers/anthropic/models/direct",
        // With an API key.
        "/v1beta1/publishers/google/models/direct",
        "/v1/publishers/google/models/direct",
        "/v1beta1/models/direct",
        // Firebase, for both of its services.
        "/v1beta/projects/p/models/direct",
        "/v1beta/projects/p/locations/global/publishers/google/models/direct",
        // Encoded slashes.
        "/v1beta1/projects%2Fp%2Flocations%2fl/publishers/google/models/direct",
        "/v1beta/models%2Fdirect",
    ] {
        let reply = server.post(&format!("{path}:generateContent"), &run("print(6 * 7)")).await;
        assert_eq!(output(&reply), "42\n", "{path}");
    }
}

#[tokio::test]
async fn a_deployed_model_is_a_model_of_its_number() {
    let scenarios = "scenarios:\n  - name: tuned\n    when: {model: endpoints/123}\n    script:\n      - text: Tuned.\n";
    let server = TestServer::start(scenarios).await;
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]});
    let reply = server.post(&format!("{P}/endpoints/123:generateContent"), &request).await;
    assert_eq!(reply.body["candidates"][0]["content"]["parts"][0]["text"], "Tuned.");
}

#[tokio::test]
async fn interactions_live_under_all_prefixes_at_once() {
    let server = TestServer::start("").await;
    for prefix in [P, "/v1beta1", "/v1/projects/p/locations/l"] {
        let mut request = direct("print(6 * 7)");
        request["model"] = "projects/p/locations/l/publishers/google/models/direct".into();
        request["labels"] = json!({"team": "a"});
        let reply = server.post(&format!("{prefix}/interactions"), &request).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(
            (&reply.body["model"], &reply.body["status"]),
            (&json!("direct"), &json!("completed"))
        );
        let id = reply.body["id"].as_str().expect("it is stored");
        // It is the same store.
        assert_eq!(server.get(&format!("/v1beta/interactions/{id}")).await.status, 200);
        let path = format!("{prefix}/interactions/{id}");
        let got = server.get(&path).await;
        assert_eq!((got.status, &got.body["id"]), (200, &json!(id)), "{prefix}");
        for cancel in ["/cancel", ":cancel"] {
            let cancelled = server.post(&format!("{path}{cancel}"), &json!({})).await;
            assert_eq!((cancelled.status, &cancelled.body["status"]), (200, &json!("completed")));
        }
        assert_eq!(server.delete(&path).await.body, json!({}));
        assert_eq!(server.get(&path).await.body["error"]["code"], "not_found", "its own form");
    }
}

#[tokio::test]
async fn fields_of_vertex_are_invalid_in_the_gemini_api() {
    let server = TestServer::start("").await;
    let mut request = direct("print(1)");
    request["labels"] = json!({"team": "a"});
    let reply = server.post("/v1beta/interactions", &request).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.message(), "'labels' is not supported by the Gemini API.");
    let mut request = run("print(1)");
    request["modelArmorConfig"] = json!({});
    let reply = server.post("/v1beta/models/direct:generateContent", &request).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let reply = server
        .post(&format!("{P}/publishers/google/models/direct:generateContent"), &request)
        .await;
    assert_eq!(output(&reply), "1\n");
}

#[tokio::test]
async fn models_are_listed_by_their_publisher() {
    let server = TestServer::builder().catalog(&["a", "b", "c"]).start().await;
    let list = |query: &'static str| {
        let path = format!("/v1beta1/publishers/google/models{query}");
        let server = &server;
        async move { server.get(&path).await.body }
    };
    let model = |name: &str| json!({"name": format!("publishers/google/models/{name}"), "versionId": "default"});
    let first = list("?pageSize=2").await;
    assert_eq!(first["publisherModels"], json!([model("a"), model("b")]));
    let token = first["nextPageToken"].as_str().expect("there is another page");
    let path = format!("/v1beta1/publishers/google/models?pageSize=2&pageToken={token}");
    assert_eq!(server.get(&path).await.body, json!({"publisherModels": [model("c")]}));
    assert_eq!(server.get("/v1beta1/publishers/google/models/b").await.body, model("b"));
    // Models that a project has tuned.
    let tuned = server.get(&format!("{P}/models?filter=labels.tune-type:*")).await;
    assert_eq!((tuned.status, tuned.body), (200, json!({"models": []})));
    let unknown = server.get("/v1beta/models?filter=a").await;
    assert_eq!(unknown.status, 400, "the Gemini API has no such parameter");
}
