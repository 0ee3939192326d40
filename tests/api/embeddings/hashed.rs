//! Embeddings that the server makes: hashed words and pieces of words.

use serde_json::{Value, json};

use harness::{Client, TestServer};

const P: &str = "/v1beta1/projects/p/locations/l/publishers/google/models";

fn content(text: &str) -> Value {
    json!({"parts": [{"text": text}]})
}

async fn post(server: &Client, path: &str, body: &Value) -> Value {
    let reply = server.post(path, body).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.body);
    reply.body
}

/// The vectors of texts.
async fn embed(server: &Client, model: &str, texts: &[&str], size: u64) -> Vec<Vec<f64>> {
    let requests = texts.iter().map(|text| {
        json!({"model": format!("models/{model}"), "content": content(text), "outputDimensionality": size})
    });
    let body = json!({"requests": requests.collect::<Vec<_>>()});
    let answer = post(server, &format!("/v1beta/models/{model}:batchEmbedContents"), &body).await;
    let embeddings = answer["embeddings"].as_array().expect("it is a list").iter();
    embeddings.map(|embedding| vector(&embedding["values"])).collect()
}

fn vector(values: &Value) -> Vec<f64> {
    let values = values.as_array().expect("it is a list").iter();
    values.map(|value| value.as_f64().expect("it is a number")).collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn texts_that_share_words_are_near() {
    let server = TestServer::start("").await;
    let texts = [
        "How do I reset my password?",
        "Resetting a forgotten password",
        "Opening hours of the museum on Sundays",
    ];
    for size in [3072, 768, 128] {
        let vectors = embed(&server, "gemini-embedding-2", &texts, size).await;
        assert!(vectors.iter().all(|vector| (product(vector, vector) - 1.0).abs() < 1e-5));
        let (near, far) = (product(&vectors[0], &vectors[1]), product(&vectors[0], &vectors[2]));
        assert!(near > far + 0.2, "{size}: {near} {far}");
    }
    let another = TestServer::start("").await;
    let model = "gemini-embedding-001";
    let first = embed(&server, model, &texts, 3072).await;
    assert_eq!(first, embed(&another, model, &texts, 3072).await);
    let short = embed(&another, model, &texts[..1], 8).await;
    assert_eq!(short[0], first[0][..8], "the start of the whole vector");
}

#[tokio::test]
async fn the_parts_of_one_content_have_one_vector() {
    let server = TestServer::start("").await;
    let picture = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}});
    let request = json!({"content": {"parts": [{"text": "a"}, {"text": "b"}, picture]}});
    let path = "/v1beta/models/gemini-embedding-2:embedContent";
    let with_picture = post(&server, path, &request).await;
    assert_eq!(vector(&with_picture["embedding"]["values"]).len(), 3072);
    let text =
        post(&server, path, &json!({"content": {"parts": [{"text": "a"}, {"text": "b"}]}})).await;
    assert_ne!(text["embedding"], with_picture["embedding"]);
    assert_eq!(text["usageMetadata"]["promptTokenCount"], 2);
}

/// The three methods, as the SDKs call them for Vertex AI.
#[tokio::test]
async fn all_forms_of_vertex_give_the_same_vector() {
    let server = TestServer::start("").await;
    let model = format!("{P}/text-embedding-005");
    let config = json!({"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 16});
    let one = json!({"content": content("a red house"), "embedContentConfig": config});
    let single = post(&server, &format!("{model}:embedContent"), &one).await;
    let batch =
        post(&server, &format!("{model}:batchEmbedContents"), &json!({"requests": [one]})).await;
    let instances = json!([{"content": "a red house", "task_type": "RETRIEVAL_QUERY"}]);
    let parameters = json!({"outputDimensionality": 16, "autoTruncate": true});
    let body = json!({"instances": instances, "parameters": parameters});
    let predicted = post(&server, &format!("{model}:predict"), &body).await;
    let predicted = (&predicted["predictions"][0]["embeddings"], &predicted["metadata"]);
    assert_eq!(vector(&single["embedding"]["values"]).len(), 16);
    assert_eq!(single["embedding"]["values"], batch["embeddings"][0]["values"]);
    assert_eq!(single["embedding"]["values"], predicted.0["values"]);
    assert_eq!(predicted.0["statistics"], json!({"token_count": 3, "truncated": false}));
    assert_eq!(*predicted.1, json!({"billableCharacterCount": 9}));
    let usage = json!({
        "promptTokenCount": 3,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
        "totalTokenCount": 3,
    });
    assert_eq!((&single["usageMetadata"], &single["truncated"]), (&usage, &json!(false)));
    assert_eq!(batch["usageMetadata"], usage);
}

#[tokio::test]
async fn a_long_text_is_cut_unless_the_client_forbids_it() {
    let server = TestServer::start("").await;
    let path = format!("{P}/text-embedding-005:predict");
    let long = "word ".repeat(10_000);
    let body = |truncate: bool| json!({"instances": [{"content": long}], "parameters": {"autoTruncate": truncate, "outputDimensionality": 2}});
    let cut = post(&server, &path, &body(true)).await;
    let statistics = &cut["predictions"][0]["embeddings"]["statistics"];
    assert_eq!(*statistics, json!({"token_count": 2048, "truncated": true}));
    let refused = server.post(&path, &body(false)).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.message().contains("12500 tokens"), "{}", refused.message());
}

#[tokio::test]
async fn a_request_that_cannot_be_embedded_is_refused() {
    let server = TestServer::start("").await;
    let picture =
        json!({"parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]});
    for (model, body, status, wanted) in [
        ("gemini-embedding-001", json!({}), 400, "content"),
        ("gemini-embedding-001", json!({"content": content("")}), 400, "contains an empty Part"),
        ("gemini-embedding-001", json!({"content": picture}), 400, "embeds texts alone"),
        (
            "gemini-embedding-001",
            json!({"content": content("a"), "outputDimensionality": 3073}),
            400,
            "at most 3072",
        ),
        ("direct", json!({"content": content("a")}), 404, "is not supported for embedContent"),
    ] {
        let reply = server.post(&format!("/v1beta/models/{model}:embedContent"), &body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{body}: {}", reply.message());
    }
    let many = json!({"requests": vec![json!({"content": content("a")}); 101]});
    let reply = server.post("/v1beta/models/gemini-embedding-001:batchEmbedContents", &many).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("at most 100 requests can be in one batch"), "{}", reply.body);
    let predict = server.post("/v1beta/models/gemini-embedding-001:predict", &json!({})).await;
    assert_eq!(predict.status, 404, "it is of Vertex AI");
}

#[tokio::test]
async fn embedding_models_are_listed_and_count_tokens() {
    let server = TestServer::start("").await;
    let model = server.get("/v1beta/models/gemini-embedding-001").await.body;
    assert_eq!(
        model["supportedGenerationMethods"],
        json!(["embedContent", "countTokens", "asyncBatchEmbedContent"])
    );
    assert_eq!(model["inputTokenLimit"], 2048);
    let listed = server.get("/v1beta/models").await.body["models"].to_string();
    assert!(listed.contains("gemini-embedding-2"), "{listed}");
    let request = json!({"contents": [content("a red house")]});
    let path = "/v1beta/models/gemini-embedding-001:countTokens";
    assert_eq!(post(&server, path, &request).await["totalTokens"], 3);
}
