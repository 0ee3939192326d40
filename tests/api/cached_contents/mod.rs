//! Cached contents: beginnings of conversations, stored once for many requests.

use serde_json::{Value, json};

use harness::{Client, Program, Reply, TestServer};

const CACHES: &str = "/v1beta/cachedContents";
const GENERATE: &str = "/v1beta/models/gemini-3.8-flash:generateContent";
const NOT_FOUND: &str = "CachedContent not found (or permission denied)";

/// Answers only if the cached conversation and instruction reached the model.
const SCENARIOS: &str = r#"
scenarios:
  - name: question about the manual
    when: { turn: 2, input: { contains: What is }, tools: [code_execution] }
    script:
      - code: print(6 * 7)
      - text: "The manual says {{ stdout | trim }}."
"#;

fn manual() -> Value {
    json!({
        "model": "models/gemini-3.8-flash",
        "displayName": "manual",
        "ttl": "300s",
        "contents": [{"role": "user", "parts": [{"text": "A long manual. ".repeat(40)}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"codeExecution": {}}],
    })
}

async fn create(server: &Client, body: &Value) -> Value {
    let reply = server.post(CACHES, body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn ask(cache: &Value) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "What is 6 * 7?"}]}],
           "cachedContent": cache["name"]})
}

fn text(body: &Value) -> String {
    let parts = body["candidates"][0]["content"]["parts"].as_array().expect("it has parts");
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

#[tokio::test]
async fn the_content_goes_to_the_model_and_is_counted() {
    let server = TestServer::start(SCENARIOS).await;
    let cache = create(&server, &manual()).await;
    let cached = cache["usageMetadata"]["totalTokenCount"].as_u64().expect("it is a number");
    let reply = server.post(GENERATE, &ask(&cache)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(text(&reply.body), "The manual says 42.");
    let usage = &reply.body["usageMetadata"];
    assert_eq!(usage["cachedContentTokenCount"], cached, "{usage}");
    let details = json!([{"modality": "TEXT", "tokenCount": cached}]);
    assert_eq!(usage["cacheTokensDetails"], details);
    let prompt = usage["promptTokenCount"].as_u64().expect("it is a number");
    assert!(cached > 100 && prompt > cached && prompt < cached + 10, "{usage}");

    let journal = server.get("/x/journal").await.body;
    let entry = &journal["entries"][0];
    assert_eq!(entry["system_instruction"], "Be brief.");
    assert_eq!((&entry["turn"], &entry["tools"]), (&json!(2), &json!(["code_execution"])));

    let path = "/v1beta/models/gemini-3.8-flash:countTokens";
    let whole = json!({"generateContentRequest": ask(&cache)});
    let counted = server.post(path, &whole).await;
    assert_eq!(counted.body["totalTokens"], prompt, "{}", counted.body);
    assert_eq!(counted.body["cachedContentTokenCount"], cached);

    let path = "/v1beta/models/gemini-3.8-flash:streamGenerateContent";
    let stream = server.post(path, &ask(&cache)).await;
    let chunks = stream.body.as_array().expect("it is a list").clone();
    let last = chunks.last().expect("there are chunks");
    assert_eq!(last["usageMetadata"]["cachedContentTokenCount"], cached);
}

#[tokio::test]
async fn chat_completions_use_it_too() {
    let server = TestServer::start(SCENARIOS).await;
    let cache = create(&server, &manual()).await;
    let google = json!({"google": {"cached_content": cache["name"]}});
    let mut request = json!({
        "model": "gemini-3.8-flash", "extra_body": google,
        "messages": [{"role": "user", "content": "What is 6 * 7?"}],
    });
    let path = "/v1beta/openai/chat/completions";
    let reply = server.post(path, &request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["choices"][0]["message"]["content"], "The manual says 42.");
    let cached = &reply.body["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(cached, &cache["usageMetadata"]["totalTokenCount"]);

    let system = json!({"role": "system", "content": "Be kind."});
    request["messages"].as_array_mut().expect("it is a list").push(system);
    let reply = server.post(path, &request).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    let message = reply.body[0]["error"]["message"].as_str().expect("it is text");
    assert!(message.starts_with("CachedContent can not be used"), "{message}");
}

#[tokio::test]
async fn a_request_may_not_repeat_what_the_cache_has() {
    let server = TestServer::start(SCENARIOS).await;
    let cache = create(&server, &manual()).await;
    let wanted = "CachedContent can not be used with GenerateContent request setting \
                  system_instruction, tools or tool_config.\n\nProposed fix: move those values to \
                  CachedContent from GenerateContent request.";
    for (name, value) in [
        ("systemInstruction", json!({"parts": [{"text": "a"}]})),
        ("system_instruction", json!({"parts": [{"text": "a"}]})),
        ("tools", json!([{"googleSearch": {}}])),
        ("toolConfig", json!({"functionCallingConfig": {"mode": "AUTO"}})),
    ] {
        let mut request = ask(&cache);
        request[name] = value;
        let reply = server.post(GENERATE, &request).await;
        assert_eq!((reply.status, reply.message()), (400, wanted), "{name}");
    }
    for (name, value) in [("tools", json!([])), ("toolConfig", json!({}))] {
        let mut request = ask(&cache);
        request[name] = value;
        assert_eq!(server.post(GENERATE, &request).await.status, 200, "an empty {name} is not set");
    }
    let path = "/v1beta/models/gemini-3.5-flash:generateContent";
    let reply = server.post(path, &ask(&cache)).await;
    let wanted = "Model used by GenerateContent request (models/gemini-3.5-flash) and CachedContent \
                  (models/gemini-3.8-flash) has to be the same.";
    assert_eq!((reply.status, reply.message()), (400, wanted));
}

#[tokio::test]
async fn its_expiry_changes_and_passes() {
    let server = TestServer::start(SCENARIOS).await;
    let cache = create(&server, &manual()).await;
    let path = format!("/v1beta/{}", cache["name"].as_str().expect("it is text"));
    let patch = async |query: &str, body: Value| {
        Reply::to(server.request("PATCH", &format!("{path}{query}")).json(&body)).await
    };
    let longer = patch("?updateMask=ttl", json!({"ttl": "7200s"})).await.body;
    assert!(longer["expireTime"].as_str() > cache["expireTime"].as_str(), "{longer}");
    assert_eq!(longer["createTime"], cache["createTime"]);
    let time = "2999-12-01T00:00:00+00:00";
    let later = patch("", json!({"expireTime": time})).await.body;
    assert_eq!(later["expireTime"], "2999-12-01T00:00:00.000000000Z");
    assert_eq!(server.get(&path).await.body, later);
    for (body, wanted) in [
        (json!({"displayName": "d"}), "Unknown name \"displayName\""),
        (json!({"expireTime": "2001-01-01T00:00:00Z"}), "must be in the future"),
        (json!({}), "Either 'ttl' or 'expireTime'"),
    ] {
        let reply = patch("", body).await;
        assert_eq!(reply.status, 400, "{}", reply.body);
        assert!(reply.message().contains(wanted), "{}", reply.message());
    }

    assert_eq!(patch("", json!({"ttl": "0.001s"})).await.status, 200);
    // Nothing announces the end of a millisecond, so the test asks until it has passed.
    let expired = async {
        while server.get(&path).await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), expired).await.expect("it expires");
    for reply in [
        server.get(&path).await,
        server.delete(&path).await,
        patch("", json!({"ttl": "5s"})).await,
        server.post(GENERATE, &ask(&cache)).await,
    ] {
        assert_eq!((reply.status, reply.message()), (403, NOT_FOUND));
    }
}

#[tokio::test]
async fn they_are_listed_in_pages_and_deleted() {
    let server = TestServer::start(SCENARIOS).await;
    assert_eq!(server.get(CACHES).await.body, json!({}));
    let mut names = Vec::new();
    for _ in 0..3 {
        names.push(
            create(&server, &manual()).await["name"].as_str().expect("it is text").to_owned(),
        );
    }
    names.sort();
    let first = server.get(&format!("{CACHES}?pageSize=2")).await.body;
    let token = first["nextPageToken"].as_str().expect("there is another page");
    let rest = server.get(&format!("{CACHES}?pageSize=2&pageToken={token}")).await.body;
    assert_eq!(rest["nextPageToken"], Value::Null);
    let pages =
        [&first, &rest].map(|page| page["cachedContents"].as_array().expect("it is a list"));
    let listed: Vec<_> = pages.into_iter().flatten().map(|cache| &cache["name"]).collect();
    assert_eq!(listed, names.iter().collect::<Vec<_>>());
    assert_eq!(first["cachedContents"][0]["contents"], Value::Null, "the content is not returned");

    let deleted = server.delete(&format!("/v1beta/{}", names[0])).await;
    assert_eq!((deleted.status, &deleted.body), (200, &json!({})));
    let reply = server.get(&format!("/v1/{}", names[0])).await;
    assert_eq!((reply.status, reply.message()), (403, NOT_FOUND));
}

#[tokio::test]
async fn an_invalid_content_is_rejected() {
    let server = TestServer::start("").await;
    for (change, wanted) in [
        (json!({"contents": null, "systemInstruction": null}), "needs 'contents'"),
        (json!({"contents": [{"parts": [{"fileData": {"fileUri": "files/none"}}]}]}), "File none"),
        (json!({"expireTime": "2999-01-01T00:00:00Z"}), "oneof field 'expiration'"),
        (json!({"tools": [{"retrieval": {}}]}), "retrieval"),
    ] {
        let mut body = manual();
        for (name, value) in change.as_object().expect("it is one") {
            body[name] = value.clone();
        }
        let reply = server.post(CACHES, &body).await;
        assert!(matches!(reply.status, 400 | 403), "{change}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{}", reply.message());
    }
    let none = json!({"name": "cachedContents/none"});
    let reply = server.post(GENERATE, &ask(&none)).await;
    assert_eq!((reply.status, reply.message()), (403, NOT_FOUND));
}

#[tokio::test]
async fn it_survives_a_restart() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let cache = {
        let server = Program::start(data.path(), &[]);
        create(&Client::new(server.url().to_owned()), &manual()).await
    };
    let server = Program::start(data.path(), &[]);
    let client = Client::new(server.url().to_owned());
    let path = format!("/v1beta/{}", cache["name"].as_str().expect("it is text"));
    assert_eq!(client.get(&path).await.body, cache);
}
