//! The OpenAPI document, and the page that shows it.

use serde_json::{Value, json};

use harness::{Reply, TestServer};

/// A path with its parameters filled in.
fn filled(path: &str) -> String {
    path.replace("{version}", "v1beta")
        .replace("{id}", "v1_gone")
        .replace("{model}", "direct")
        .replace("{project}", "p")
        .replace("{location}", "l")
        .replace("{publisher}", "google")
        .replace("{file}", if path.starts_with("/docs") { "swagger-ui.css" } else { "gone" })
}

#[tokio::test]
async fn the_document_needs_no_key() {
    let server = TestServer::builder().keys(&["secret"]).start().await;
    let reply = server.get("/openapi.json").await;
    assert_eq!((reply.status, &reply.body["openapi"]), (200, &json!("3.1.0")));
    assert_eq!(reply.headers["content-type"], "application/json; charset=UTF-8");
}

#[tokio::test]
async fn each_path_accepts_exactly_the_documented_methods() {
    let server = TestServer::start("").await;
    let document = server.get("/openapi.json").await.body;
    let paths = document["paths"].as_object().expect("it is one");
    assert!(paths.len() > 20, "{paths:?}");
    for (path, operations) in paths {
        for method in ["get", "put", "post", "delete", "patch"] {
            let reply =
                Reply::to(server.request(method.to_uppercase().as_str(), &filled(path))).await;
            let documented = operations.get(method).is_some();
            assert_eq!(reply.status != 405, documented, "{method} {path}: {}", reply.body);
            // A path without documented methods is not routed.
            let is_nothing = reply.message().starts_with("Path not found:");
            assert!(!is_nothing, "{method} {path}: {}", reply.body);
        }
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_other_hosts() {
    let server = TestServer::builder().keys(&["secret"]).start().await;
    for path in ["/docs", "/docs/"] {
        let page = server.request("GET", path).send().await.expect("the server answers");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let page = page.text().await.expect("it is text");
        assert!(
            !page.contains("http://") && !page.contains("https://"),
            "it loads from another host: {page}"
        );
        for file in ["swagger-ui.css", "swagger-ui-bundle.js"] {
            assert!(page.contains(file), "{page}");
            let path = format!("/docs/{file}");
            let found = server.request("GET", &path).send().await.expect("the server answers");
            assert_eq!(found.status().as_u16(), 200, "{file}");
            assert!(found.text().await.expect("it is text").len() > 50_000, "{file}");
        }
    }
    let nothing = server.get("/docs/else.js").await;
    assert_eq!((nothing.status, &nothing.body["error"]["status"]), (404, &json!("NOT_FOUND")));
    assert_eq!(nothing.body["error"]["code"], Value::from(404));
}
