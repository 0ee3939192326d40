//! Embeddings of the OpenAI-compatible API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use harness::{Client, TestServer};

const PATH: &str = "/v1beta/openai/embeddings";

async fn embed(server: &Client, request: &Value) -> Value {
    let reply = server.post(PATH, request).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

#[tokio::test]
async fn vectors_are_those_of_the_gemini_api_in_both_encodings() {
    let server = TestServer::start("").await;
    let model = "gemini-embedding-2";
    let content =
        |text: &str| json!({"content": {"parts": [{"text": text}]}, "outputDimensionality": 16});
    let gemini = json!({"requests": [content("a red house"), content("b")]});
    let gemini = server.post(&format!("/v1beta/models/{model}:batchEmbedContents"), &gemini).await;

    let mut request = json!({"model": model, "input": ["a red house", "b"], "dimensions": 16});
    let numbers = embed(&server, &request).await;
    assert_eq!((&numbers["object"], &numbers["model"]), (&json!("list"), &json!(model)));
    assert_eq!(numbers["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    request["encoding_format"] = "base64".into();
    let encoded = embed(&server, &request).await;
    for at in 0..2 {
        let values = &gemini.body["embeddings"][at]["values"];
        let item = &numbers["data"][at];
        assert_eq!((&item["embedding"], &item["index"]), (values, &json!(at)));
        assert_eq!(item["object"], "embedding");
        let bytes = STANDARD.decode(encoded["data"][at]["embedding"].as_str().expect("it is text"));
        let bytes = bytes.expect("it is Base64");
        let floats: Vec<f32> = bytes
            .chunks_exact(4)
            .map(|float| f32::from_le_bytes(float.try_into().expect("it has four bytes")))
            .collect();
        let values: Vec<f32> = serde_json::from_value(values.clone()).expect("they are numbers");
        assert_eq!(floats, values);
    }
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_in_a_list() {
    let server = TestServer::builder().catalog(&["gemini-*"]).start().await;
    let with = |model: &str, input: Value| json!({"model": model, "input": input});
    let model = "gemini-embedding-001";
    for (request, status, wanted) in [
        (with(model, json!([[1, 2], [3]])), 400, "tokens cannot be embedded, only texts"),
        (with(model, json!(vec!["a"; 101])), 400, "at most 100 requests can be in one batch"),
        (json!({"model": model, "input": "a", "dimensions": 3073}), 400, "at most 3072 values"),
        (with("gemini-3.8-flash", json!("a")), 404, "is not supported for embedContent"),
        (with("unknown", json!("a")), 404, "models/unknown is not found"),
    ] {
        let reply = server.post(PATH, &request).await;
        let error = &reply.body[0]["error"];
        let message = error["message"].as_str().unwrap_or_else(|| panic!("{}", reply.body));
        assert_eq!((reply.status, &error["code"]), (status, &json!(status)), "{message}");
        assert!(message.contains(wanted), "{message}");
    }
}
