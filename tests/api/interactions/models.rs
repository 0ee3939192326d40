//! The list of models.

use serde_json::{Value, json};

use harness::{Reply, TestServer};

fn names(body: &Value) -> Vec<&str> {
    let models = body["models"].as_array().expect("it is a list");
    models.iter().map(|model| model["name"].as_str().expect("it has one")).collect()
}

#[tokio::test]
async fn the_list_has_the_served_models_in_pages() {
    let server = TestServer::builder().catalog(&["direct", "qwen*", "gemini-2.5-*"]).start().await;
    let whole = server.get("/v1/models").await.body;
    let wanted = [
        "models/direct",
        "models/gemini-2.5-flash",
        "models/gemini-2.5-flash-lite",
        "models/gemini-2.5-pro",
    ];
    assert_eq!((names(&whole), &whole["nextPageToken"]), (wanted.to_vec(), &Value::Null));

    let mut query = "pageSize=3".to_owned();
    let mut seen = Vec::new();
    for size in [3, 1] {
        let page = server.get(&format!("/v1beta/models?{query}")).await.body;
        assert_eq!(names(&page).len(), size);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        query = format!("page_size=3&pageToken={}", page["nextPageToken"].as_str().unwrap_or("-"));
    }
    assert_eq!(seen, wanted);
    for query in ["pageSize=many", "pageSize=-1", "pageToken=%C3%A4", "page=1"] {
        let reply = server.get(&format!("/v1beta/models?{query}")).await;
        assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!(400)), "{query}");
    }
}

#[tokio::test]
async fn a_served_model_is_found_by_name_and_others_are_not() {
    let server = TestServer::builder().catalog(&["direct", "qwen*"]).start().await;
    for name in ["direct", "qwen3:8b", "qwen/qwen3"] {
        let reply = server.get(&format!("/v1beta/models/{name}")).await;
        assert_eq!((reply.status, &reply.body["name"]), (200, &json!(format!("models/{name}"))));
        let methods = json!(["generateContent", "countTokens"]);
        assert_eq!(reply.body["supportedGenerationMethods"], methods);
    }
    let reply = server.get("/v1beta/models/gone").await;
    assert_eq!((reply.status, &reply.body["error"]["status"]), (404, &json!("NOT_FOUND")));
    for method in ["DELETE", "PATCH"] {
        let reply = Reply::to(server.request(method, "/v1/models/direct")).await;
        assert_eq!((reply.status, &reply.body["error"]["status"]), (404, &json!("NOT_FOUND")));
    }
    let tuned = server.get("/v1beta/tunedModels?pageSize=2").await;
    assert_eq!((tuned.status, tuned.body), (200, json!({"tunedModels": []})));
}
