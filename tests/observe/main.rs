//! What people and monitoring systems see of a running server: the metrics as Prometheus' client reads them.

use std::path::Path;
use std::process::Command;

use harness::TestServer;

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
