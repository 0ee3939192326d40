//! The token endpoint for clients of Vertex AI.

use serde_json::json;

use harness::{Reply, TestServer};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_client_gets_the_token_that_it_brings() {
    let server = TestServer::builder().keys(&["key"]).fake_credentials().start().await;
    let token = |form: &str| {
        let request = server.request("POST", "/token").header("content-type", FORM);
        Reply::to(request.body(form.to_owned()))
    };
    for (form, wanted) in [
        ("grant_type=refresh_token&refresh_token=key", "key"),
        (
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=s",
            "s",
        ),
        ("grant_type=jwt-bearer&assertion=e30", "belljar"),
    ] {
        let reply = token(form).await;
        let wanted = json!({"access_token": wanted, "expires_in": 3600, "token_type": "Bearer"});
        assert_eq!((reply.status, reply.body), (200, wanted), "{form}");
    }
    let path = "/v1beta1/projects/p/locations/l/publishers/google/models/direct:countTokens";
    let request = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}]});
    for (token, status) in [("key", 200), ("belljar", 401)] {
        let request = server.request("POST", path).bearer_auth(token).json(&request);
        assert_eq!(Reply::to(request).await.status, status, "{token}");
    }
    assert_eq!(token(&"a".repeat(20_000)).await.status, 413);
}

#[tokio::test]
async fn without_the_setting_there_are_no_tokens() {
    let server = TestServer::start("").await;
    let request = server.request("POST", "/token").header("content-type", FORM);
    let reply = Reply::to(request.body("refresh_token=a")).await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (404, &json!("NOT_FOUND")));
    assert!(reply.message().contains("--fake-credentials"), "{}", reply.message());
}
