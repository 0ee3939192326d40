//! File search stores: documents that models search.

use serde_json::{Value, json};

use crate::fake::{Fake, stream_of, text};
use harness::{Reply, TestServer};

const STORES: &str = "/v1beta/fileSearchStores";
const MOSS: &str = "Moss is green. It grows on stones, and it needs water.";
const FERN: &str = "Fern is tall. It grows in the shade of trees.";
const SCENARIO: &str = r#"
scenarios:
  - name: documents
    script:
      - file_search: {}
      - text: "It says so [1]."
"#;

async fn create(server: &TestServer) -> String {
    let reply = server.post(STORES, &json!({"displayName": "My Manual"})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body["name"].as_str().expect("it has a name").to_owned()
}

/// Uploads a document in the two requests of the SDKs; returns the operation.
async fn upload(server: &TestServer, store: &str, text: &'static str, about: Value) -> Reply {
    let path = format!("/upload/v1beta/{store}:uploadToFileSearchStore");
    let started = server
        .request("POST", &path)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", text.len())
        .header("x-goog-upload-header-content-type", "text/plain");
    let started = Reply::to(started.json(&about)).await;
    if started.status != 200 {
        return started;
    }
    let url = started.headers["x-goog-upload-url"].to_str().expect("it is a URL");
    let path = url.split_once("/upload/").expect("it is an upload").1;
    let path = format!("/upload/{path}");
    let whole = || {
        server
            .request("POST", &path)
            .header("x-goog-upload-command", "upload, finalize")
            .header("x-goog-upload-offset", 0)
            .body(text)
    };
    let done = Reply::to(whole()).await;
    if done.status == 200 {
        assert_eq!(done.headers["x-goog-upload-status"], "final");
        // A client that missed the answer gets it again.
        let query = server.request("POST", &path).header("x-goog-upload-command", "query");
        assert_eq!(Reply::to(query).await.body, done.body);
    }
    done
}

fn ask(store: &str, question: &str) -> Value {
    let tool = json!({"type": "file_search", "file_search_store_names": [store]});
    json!({"model": "m", "input": question, "tools": [tool]})
}

fn titles(answer: &Value) -> Vec<&str> {
    let found = answer["steps"][1]["result"].as_array().expect("it is a list").iter();
    found.map(|excerpt| excerpt["title"].as_str().expect("it has one")).collect()
}

#[tokio::test]
async fn a_store_is_created_filled_and_deleted() {
    let server = TestServer::start(SCENARIO).await;
    let store = create(&server).await;
    let id = store.strip_prefix("fileSearchStores/").expect("it is a name");
    assert!(id.starts_with("my-manual-") && id.len() == "my-manual-".len() + 12, "{id}");

    let about = json!({"displayName": "a.txt", "mimeType": "text/plain",
                       "customMetadata": [{"key": "year", "numeric_value": 1990}]});
    let done = upload(&server, &store, MOSS, about).await.body;
    let name = done["response"]["documentName"].as_str().expect("it has one");
    assert!(name.starts_with(&format!("{store}/documents/a-txt-")), "{name}");
    assert_eq!(done["response"]["parent"], store);
    let path = format!("/v1beta/{}", done["name"].as_str().expect("it has one"));
    assert_eq!(server.get(&path).await.body, done);

    let got = server.get(&format!("/v1beta/{store}")).await.body;
    assert_eq!((&got["activeDocumentsCount"], &got["sizeBytes"]), (&json!("1"), &json!("54")));
    assert_eq!(server.get(STORES).await.body, json!({"fileSearchStores": [got]}));
    let document = server.get(&format!("/v1beta/{name}")).await.body;
    assert_eq!(document["state"], "STATE_ACTIVE");
    assert_eq!(document["customMetadata"], json!([{"key": "year", "numericValue": 1990.0}]));
    let listed = server.get(&format!("/v1beta/{store}/documents?pageSize=1")).await.body;
    assert_eq!(listed, json!({"documents": [document]}));

    let delete = |path: String| Reply::to(server.request("DELETE", &path));
    let refused = delete(format!("/v1beta/{store}")).await;
    assert_eq!(refused.body["error"]["status"], "FAILED_PRECONDITION", "{}", refused.body);
    assert_eq!(delete(format!("/v1beta/{name}?force=True")).await.status, 200);
    assert_eq!(server.get(&format!("/v1beta/{name}")).await.status, 404);
    assert_eq!(upload(&server, &store, FERN, json!({})).await.status, 200);
    assert_eq!(delete(format!("/v1beta/{store}?force=True")).await.status, 200);
    assert_eq!(server.get(&format!("/v1beta/{store}")).await.status, 404);
    assert_eq!(upload(&server, &store, FERN, json!({})).await.status, 404);
}

#[tokio::test]
async fn an_uploaded_file_is_imported() {
    let server = TestServer::start(SCENARIO).await;
    let store = create(&server).await;
    let start = server
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "raw")
        .header("x-goog-upload-file-name", "moss.md")
        .header("content-type", "text/markdown");
    let file = Reply::to(start.body(MOSS)).await.body["file"]["name"].clone();
    let import = format!("/v1beta/{store}:importFile");
    let done = server.post(&import, &json!({"fileName": file})).await.body;
    assert_eq!(done["done"], true, "{done}");
    let path = format!("/v1beta/{}", done["name"].as_str().expect("it has one"));
    assert_eq!(server.get(&path).await.body, done);
    for (file, status) in [("files/none", 403), ("none", 403)] {
        let reply = server.post(&import, &json!({"fileName": file})).await;
        assert_eq!(reply.status, status, "{}", reply.body);
    }
    assert_eq!(server.post(&format!("/v1beta/{store}:other"), &json!({})).await.status, 405);
}

#[tokio::test]
async fn a_document_that_is_no_text_is_refused() {
    let server = TestServer::start(SCENARIO).await;
    let store = create(&server).await;
    let about = json!({"displayName": "a.png", "mimeType": "image/png"});
    let refused = upload(&server, &store, "png", about).await;
    assert_eq!(refused.status, 400);
    assert!(refused.message().starts_with("Unsupported MIME type: image/png."));
}

#[tokio::test]
async fn a_scenario_searches_and_the_metadata_filters() {
    let server = TestServer::start(SCENARIO).await;
    let store = create(&server).await;
    for (name, text, year) in [("moss.txt", MOSS, 1990), ("fern.txt", FERN, 2000)] {
        let about = json!({"displayName": name, "mimeType": "text/plain",
                           "customMetadata": [{"key": "year", "numericValue": year}]});
        assert_eq!(upload(&server, &store, text, about).await.status, 200);
    }
    let answer = server.create(ask(&store, "What grows on stones?")).await;
    assert_eq!(titles(&answer), ["moss.txt", "fern.txt"], "{answer}");
    let excerpt = &answer["steps"][1]["result"][0];
    assert_eq!((&excerpt["text"], &excerpt["file_search_store"]), (&json!(MOSS), &json!(store)));
    let citation = &answer["steps"][2]["content"][0]["annotations"][0];
    assert_eq!(
        (&citation["type"], &citation["file_name"]),
        (&json!("file_citation"), &json!("moss.txt"))
    );
    for (filter, top_k, wanted) in [
        ("year > 1990", 5, vec!["fern.txt"]),
        ("year = 1990 OR year = 2000", 1, vec!["moss.txt"]),
        ("genre = \"x\"", 5, vec![]),
    ] {
        let mut request = ask(&store, "What grows on stones?");
        request["tools"][0]["metadata_filter"] = filter.into();
        request["tools"][0]["top_k"] = top_k.into();
        assert_eq!(titles(&server.create(request).await), wanted, "{filter}");
    }
    let mut request = ask(&store, "?");
    request["tools"][0]["metadata_filter"] = "year >".into();
    let refused = server.post("/v1beta/interactions", &request).await;
    assert!(refused.message().contains("expected a value at byte 6"), "{}", refused.message());

    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "stones"}]}],
        "tools": [{"fileSearch": {"fileSearchStoreNames": [store]}}],
    });
    let path = "/v1beta/models/m:generateContent";
    let answer = server.post(path, &request).await.body;
    let chunk = &answer["candidates"][0]["groundingMetadata"]["groundingChunks"][0];
    assert_eq!(chunk["retrievedContext"]["text"], MOSS, "{answer}");
    assert_eq!(
        chunk["retrievedContext"]["customMetadata"],
        json!([{"key": "year", "numericValue": 1990.0}])
    );
}

#[tokio::test]
async fn a_store_that_does_not_exist_is_named() {
    let server = TestServer::start(SCENARIO).await;
    let request = json!({
        "contents": [{"role": "user", "parts": [{"text": "stones"}]}],
        "tools": [{"fileSearch": {"fileSearchStoreNames": ["fileSearchStores/none"]}}],
    });
    let reply = server.post("/v1beta/models/m:generateContent", &request).await;
    assert_eq!(reply.status, 404, "{}", reply.body);
    assert!(reply.message().contains("fileSearchStores/none"), "{}", reply.message());
}

#[tokio::test]
async fn a_model_searches_and_gets_the_excerpts() {
    let call = json!({"tool_calls": [{"index": 0, "id": "a", "function": {
        "name": "file_search", "arguments": {"query": "stones"}}}]});
    let fake = Fake::start([stream_of([call]), text("Moss grows on stones [1].")]).await;
    let server = TestServer::builder().model("m*", fake.model()).start().await;
    let store = create(&server).await;
    let about = json!({"displayName": "moss.txt", "mimeType": "text/plain"});
    assert_eq!(upload(&server, &store, MOSS, about).await.status, 200);
    let answer = server.create(ask(&store, "Where does moss grow?")).await;
    let citation = &answer["steps"][2]["content"][0]["annotations"][0];
    assert_eq!(citation["file_name"], "moss.txt", "{answer}");
    let given = fake.asked()[1]["messages"][3]["content"].as_str().expect("it is text").to_owned();
    assert!(given.starts_with("[1] moss.txt\n") && given.ends_with(MOSS), "{given}");
}
