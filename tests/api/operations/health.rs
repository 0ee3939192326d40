//! Health and readiness.

use std::path::Path;

use harness::{TestServer, direct};

#[tokio::test]
async fn a_ready_server_reports_readiness_and_isolation() {
    let server = TestServer::start("").await;
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    let isolation = server.get("/x/isolation").await.body;
    assert_eq!(isolation["tier"], "namespaced");
    assert!(isolation["layers"].as_array().is_some_and(|layers| !layers.is_empty()), "{isolation}");
}

#[tokio::test]
async fn a_server_without_a_sandbox_listens_and_reports_the_missing_part() {
    let missing = Path::new("/nonexistent/warden.sock");
    let (server, mut is_ready) = TestServer::builder().sandbox(missing).listen().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    let reply = server.get("/readyz").await;
    assert_eq!((reply.status, reply.message()), (503, "Not ready: the sandbox is unreachable."));
    let reply = server.get("/x/isolation").await;
    assert_eq!((reply.status, reply.message()), (503, "The sandbox is not available."));
    assert!(is_ready.try_recv().is_err(), "it is not ready");

    let answer = server.create(direct("print(1)")).await;
    assert_eq!(answer["status"], "failed");
    assert_eq!(answer["errors"][0]["code"], "service_unavailable");
    server.stop().await.expect("it stops all the same");
}
