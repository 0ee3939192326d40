//! Cached contents on the paths of Vertex AI, which has longer names and other errors.

use serde_json::{Value, json};

use harness::{Reply, TestServer};

const PLACE: &str = "projects/p/locations/l";

fn contents(text: &str) -> Value {
    json!([{"role": "user", "parts": [{"text": text}]}])
}

fn cache() -> Value {
    let instruction = json!({"parts": [{"text": "Be brief."}]});
    let model = format!("{PLACE}/publishers/google/models/direct");
    json!({"model": model, "contents": contents("print(1)"), "systemInstruction": instruction})
}

#[tokio::test]
async fn a_content_is_cached_and_used_under_its_whole_name() {
    let server = TestServer::start("").await;
    let made = server.post(&format!("/v1beta1/{PLACE}/cachedContents"), &cache()).await.body;
    let name = made["name"].as_str().unwrap_or_else(|| panic!("{made}"));
    assert!(name.starts_with(&format!("{PLACE}/cachedContents/")), "{name}");
    assert_eq!(made["model"], cache()["model"]);
    let listed = server.get(&format!("/v1/{PLACE}/cachedContents")).await.body;
    assert_eq!(listed["cachedContents"], json!([made]));

    let path = format!("/v1beta1/{PLACE}/publishers/google/models/direct");
    let request = json!({"contents": contents("print(2)"), "cachedContent": name});
    let answer = server.post(&format!("{path}:generateContent"), &request).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let usage = &answer.body["usageMetadata"];
    assert_eq!(usage["cachedContentTokenCount"], made["usageMetadata"]["totalTokenCount"]);
    assert_eq!(usage["cacheTokensDetails"][0]["modality"], "TEXT");
    let counted = server.post(&format!("{path}:countTokens"), &request).await.body;
    assert_eq!(counted["totalTokens"], usage["promptTokenCount"]);
    assert_eq!(counted["cachedContentTokenCount"], usage["cachedContentTokenCount"]);

    let mut twice = request.clone();
    twice["tools"] = json!([{"codeExecution": {}}]);
    let refused = server.post(&format!("{path}:generateContent"), &twice).await;
    let wanted = "Tool config, tools and system instruction should not be set in the request when using \
                  cached content.";
    assert_eq!((refused.status, refused.message()), (400, wanted));

    let path = format!("/v1beta1/{name}");
    let changed = Reply::to(server.request("PATCH", &path).json(&json!({"ttl": "60s"}))).await;
    assert_eq!((changed.status, &changed.body["name"]), (200, &made["name"]));
    assert_eq!(server.delete(&path).await.body, json!({}));
    let gone = server.get(&path).await;
    assert_eq!((gone.status, &gone.body["error"]["status"]), (404, &json!("NOT_FOUND")));
    assert!(
        gone.message().starts_with("Not found: cached content metadata for"),
        "{}",
        gone.message()
    );
    let used = format!("/v1beta1/{PLACE}/publishers/google/models/direct:generateContent");
    assert_eq!(server.post(&used, &request).await.status, 404);
}

/// The SDKs have no project then, and write that into the path.
#[tokio::test]
async fn a_client_with_a_key_alone_finds_its_contents() {
    let server = TestServer::start("").await;
    let made = server.post("/v1beta1/cachedContents", &cache()).await.body;
    let name = made["name"].as_str().unwrap_or_else(|| panic!("{made}"));
    assert!(name.starts_with("cachedContents/"), "{name}");
    for none in ["None", "undefined"] {
        let path = format!("/v1beta1/projects/{none}/locations/{none}/{name}");
        assert_eq!(server.get(&path).await.body, made, "{path}");
    }
}
