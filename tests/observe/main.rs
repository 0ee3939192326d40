//! What people and monitoring systems see of a running server: the console in Chromium, and the metrics as
//! Prometheus' client reads them.

use std::path::Path;
use std::process::Command;

use harness::{Program, TestServer};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/observe");

/// Runs a suite of Python against this server.
async fn suite(name: &'static str, url: &str, arguments: Vec<String>) {
    let url = url.to_owned();
    let passed = tokio::task::spawn_blocking(move || {
        Command::new(Path::new(HERE).join("run")).arg(name).arg(url).args(arguments).status()
    });
    let passed = passed.await.expect("it does not panic").expect("the script is there");
    assert!(passed.success(), "{name} failed; its output is above");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_parser_accepts_the_metrics() {
    let server = TestServer::start("").await;
    for path in ["/healthz", "/v1beta/models", "/nothing"] {
        server.get(path).await;
    }
    let body = serde_json::json!({"code": "print(1)"});
    assert_eq!(server.post("/x/execute", &body).await.status, 200);
    suite("metrics", server.url(), Vec::new()).await;
}

const SCENARIOS: &str = "
scenarios:
  - name: the answer
    when: { input: { contains: six times seven } }
    script:
      - thought: I need a product.
      - code: print(6 * 7)
      - text: It is {{ stdout | trim }}.
";

/// `BELLJAR_TEST_PICTURES` names a folder for pictures of the pages.
#[tokio::test(flavor = "multi_thread")]
async fn chromium_goes_through_the_console() {
    let server = TestServer::builder().scenarios(SCENARIOS).start().await;
    let keyed = TestServer::builder().scenarios(SCENARIOS).keys(&["the-key"]).start().await;
    let mut arguments = vec![keyed.url().to_owned(), "the-key".to_owned()];
    arguments.extend(std::env::var("BELLJAR_TEST_PICTURES"));
    suite("console", server.url(), arguments).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_quick_with_ten_thousand_interactions() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start(data.path(), &[]);
    let folder = data.path().to_str().expect("it is text").to_owned();
    suite("crowd", server.url(), vec![folder]).await;
}
