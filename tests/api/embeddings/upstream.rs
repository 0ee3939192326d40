//! Embeddings of the model's own server.

use serde_json::{Value, json};
use server::backends::gemini::Execution;
use server::backends::openai::Has;

use crate::fake::{self, Answer, Fake};
use harness::{Reply, TestServer};

const JSON: (&str, &str) = ("content-type", "application/json");
const PATH: &str = "/v1beta/models/a-model:batchEmbedContents";

/// Two texts, the second with a size of its own.
fn request() -> Value {
    json!({"requests": [
        {"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "taskType": "CLUSTERING"},
        {"content": {"parts": [{"text": "cd"}]}, "outputDimensionality": 2},
    ]})
}

async fn openai(answer: Answer) -> (Fake, TestServer) {
    let fake = Fake::start([answer]).await;
    let model = fake.model_with(Has::Auto, Has::Auto);
    let server = TestServer::builder().model("a-model", model).start().await;
    (fake, server)
}

#[tokio::test]
async fn texts_are_embedded_by_an_openai_compatible_server() {
    // Not in order.
    let body = json!({
        "data": [{"index": 1, "embedding": [3.0, 4.0, 12.0]}, {"index": 0, "embedding": [0.5, 0.25, -1.0]}],
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
    });
    let (fake, server) = openai(Answer::Whole(200, JSON, body.to_string())).await;
    let reply = server.post(PATH, &request()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let wanted = json!([{"values": [0.5, 0.25, -1.0]}, {"values": [0.6, 0.8]}]);
    assert_eq!(close(&reply.body["embeddings"]), close(&wanted));
    assert_eq!(reply.body["usageMetadata"]["promptTokenCount"], 5);
    let wanted =
        json!({"model": "upstream-name", "input": ["a\nb", "cd"], "encoding_format": "float"});
    assert_eq!(fake.asked(), [wanted]);
    assert_eq!(fake.header("authorization"), "Bearer sk-geheim");
}

/// With rounded numbers.
fn close(embeddings: &Value) -> String {
    let embeddings = embeddings.as_array().expect("it is a list").iter();
    let values = embeddings.map(|embedding| {
        let values = embedding["values"].as_array().expect("it is a list").iter();
        values.map(|value| format!("{:.4}", value.as_f64().expect("a number"))).collect::<Vec<_>>()
    });
    format!("{:?}", values.collect::<Vec<_>>())
}

#[tokio::test]
async fn contents_are_embedded_by_a_gemini_server_with_their_options() {
    let body = json!({
        "embeddings": [{"values": [0.5, 0.25]}, {"values": [1.0, 0.0]}],
        "usageMetadata": {"promptTokenCount": 4},
    });
    let fake = Fake::start([Answer::Whole(200, JSON, body.to_string())]).await;
    let server =
        TestServer::builder().model("a-model", fake.gemini(Execution::Sandbox)).start().await;
    let reply = server.post(PATH, &request()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["embeddings"], body["embeddings"]);
    assert_eq!(reply.body["usageMetadata"]["promptTokenCount"], 4);
    let wanted = json!({"requests": [
        {"model": "models/upstream-name", "content": {"parts": [{"text": "a"}, {"text": "b"}]},
         "taskType": "CLUSTERING"},
        {"model": "models/upstream-name", "content": {"parts": [{"text": "cd"}]},
         "outputDimensionality": 2},
    ]});
    assert_eq!(fake.asked(), [wanted]);
    assert_eq!(fake.header("x-goog-api-key"), "sk-geheim");
}

#[tokio::test]
async fn another_belljar_embeds_as_this_one() {
    let upstream = TestServer::start("").await;
    let model = crate::gemini::behind(upstream.url(), Execution::Sandbox, None);
    let server = TestServer::builder().model("gemini-embedding-*", model).start().await;
    let path = "/v1beta/models/gemini-embedding-2:embedContent";
    let request =
        json!({"content": {"parts": [{"text": "a red house"}]}, "outputDimensionality": 64});
    let (ours, theirs) = (server.post(path, &request).await, upstream.post(path, &request).await);
    assert_eq!((ours.status, ours.body), (200, theirs.body));
}

#[tokio::test]
async fn failures_of_the_upstream_are_errors() {
    let body = |body: Value| Answer::Whole(200, JSON, body.to_string());
    let data = |vectors: Value| body(json!({"data": vectors}));
    for (answer, status) in [
        (fake::status(400, "no such model"), 400),
        (fake::status(401, "wrong key"), 503),
        (data(json!([{"embedding": [1.0]}])), 503),
        (data(json!([{"embedding": [1.0]}, {"embedding": []}])), 503),
        (data(json!([{"embedding": [1.0, 2.0]}, {"embedding": ["a", 2.0]}])), 503),
        // Too short for the requested size.
        (data(json!([{"embedding": [1.0]}, {"embedding": [1.0]}])), 400),
        (fake::text("a stream"), 503),
    ] {
        let (_fake, server) = openai(answer.clone()).await;
        let reply: Reply = server.post(PATH, &request()).await;
        assert_eq!(reply.status, status, "{answer:?}: {}", reply.body);
        assert!(!reply.body.to_string().contains("sk-geheim"));
    }
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}});
    let (fake, server) = openai(fake::status(500, "not asked")).await;
    let request = json!({"requests": [{"content": {"parts": [picture]}}]});
    let reply = server.post(PATH, &request).await;
    assert_eq!(reply.status, 400, "{}", reply.body);
    assert!(fake.asked().is_empty());
}
