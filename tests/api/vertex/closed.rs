//! Doors of Google's APIs that stay closed: the error has the form that the caller reads, and names
//! the page that lists them.

use serde_json::{Value, json};

use harness::{Reply, TestServer};

const PAGE: &str = "see docs/src/reference/compatibility.md";

#[tokio::test]
async fn a_closed_door_is_explained_in_the_dialect_of_its_caller() {
    let server = TestServer::start("").await;
    for (method, path, is_classic) in [
        ("POST", "/v1beta/corpora", true),
        ("GET", "/v1beta1/projects/p/locations/l/ragCorpora", true),
        ("GET", "/v1beta1/projects/p/locations/l/tuningJobs", true),
        ("POST", "/v1beta/models/direct:predictLongRunning", true),
        (
            "GET",
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            true,
        ),
        ("GET", "/v1beta/interactions/live", false),
        ("POST", "/v1beta/interactions/v1_a/auth_tokens", false),
        ("POST", "/v1beta/agents", false),
        ("GET", "/v1beta1/projects/p/locations/l/agents/a", false),
        ("GET", "/v1beta/environments", false),
        ("POST", "/v1beta/triggers", false),
    ] {
        let reply = Reply::to(server.request(method, path).json(&json!({}))).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.body);
        let wanted: Value = if is_classic { 404.into() } else { "not_found".into() };
        assert_eq!(reply.body["error"]["code"], wanted, "{path}");
        assert!(reply.message().contains(PAGE), "{path}: {}", reply.message());
    }
    let unknown = server.get("/v1beta/unknown").await;
    assert_eq!(unknown.message(), "Path not found: /v1beta/unknown.");
}

/// google-genai for Python sends it if its client has a base URL and no project of its own.
#[tokio::test]
async fn a_request_without_a_model_is_explained() {
    let server = TestServer::builder().keys(&["key"]).start().await;
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}]});
    let reply = server.post("/", &request).await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    assert!(reply.message().contains("GOOGLE_CLOUD_PROJECT"), "{}", reply.message());
    let large = json!({"contents": "a".repeat(1 << 20)});
    assert_eq!(server.post("/", &large).await.status, 400, "the client is not cut off");
}
