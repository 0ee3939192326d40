//! Whether the server is there, and whether it would serve.

use std::path::Path;

use crate::harness::{TestServer, direct};

#[tokio::test]
async fn a_server_that_is_ready_says_so_and_tells_of_its_wall() {
    let server = TestServer::start("").await;
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/readyz").await.status, 200);
    let wall = server.get("/x/isolation").await.body;
    assert_eq!(wall["tier"], "namespaced");
    assert!(wall["layers"].as_array().is_some_and(|layers| !layers.is_empty()), "{wall}");
}

#[tokio::test]
async fn a_server_without_a_sandbox_listens_and_says_what_it_waits_for() {
    let nobody = Path::new("/nonexistent/warden.sock");
    let (server, mut is_ready) = TestServer::builder().sandbox(nobody).listen().await;
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
