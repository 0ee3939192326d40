//! Authentication with API keys.

use harness::{Reply, TestServer};

const PATH: &str = "/v1/interactions/v1_gone";

#[tokio::test]
async fn a_configured_key_is_required_and_accepted_in_each_place() {
    let server = TestServer::builder().keys(&["right", "other"]).start().await;
    for (query, headers, wanted) in [
        ("", &[][..], 403),
        ("", &[("x-goog-api-key", "")], 403),
        ("", &[("authorization", "Basic right")], 403),
        ("", &[("x-goog-api-key", "wrong")], 401),
        ("", &[("x-goog-api-key", "righ")], 401),
        ("?key=wrong", &[], 401),
        ("", &[("authorization", "Bearer wrong")], 401),
        ("", &[("x-goog-api-key", "right")], 404),
        ("", &[("x-goog-api-key", "other")], 404),
        ("?key=right", &[], 404),
        ("", &[("authorization", "Bearer right")], 404),
        ("", &[("authorization", "bearer right")], 404),
        ("", &[("x-goog-api-key", "right"), ("authorization", "Bearer theirs")], 404),
    ] {
        let mut request = server.request("GET", &format!("{PATH}{query}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = Reply::to(request).await;
        assert_eq!(reply.status, wanted, "{query} {headers:?}");
    }
}

#[tokio::test]
async fn a_missing_key_and_a_wrong_key_have_different_errors_in_each_envelope() {
    let server = TestServer::builder().keys(&["right"]).start().await;
    for (path, missing, wrong) in [
        (PATH, "permission_denied", "unauthenticated"),
        ("/v1beta/models", "PERMISSION_DENIED", "UNAUTHENTICATED"),
    ] {
        for (query, wanted) in [("", missing), ("?key=wrong", wrong)] {
            let error = &server.get(&format!("{path}{query}")).await.body["error"];
            let word = error["status"].as_str().or(error["code"].as_str());
            assert_eq!(word, Some(wanted), "{path}{query}");
        }
    }
}

#[tokio::test]
async fn health_needs_no_key_and_isolation_needs_one() {
    let server = TestServer::builder().keys(&["right"]).start().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(server.get("/x/isolation").await.status, 403);
}

#[tokio::test]
async fn without_configured_keys_any_key_is_accepted() {
    let server = TestServer::start("").await;
    let request = server.request("GET", PATH).header("x-goog-api-key", "anything");
    assert_eq!(Reply::to(request).await.status, 404);
}
