//! The HTTP protocol: compression, headers, CORS, HTTP/2, slow clients.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use harness::{TestServer, direct};

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip is a program");
    let mut stdin = gzip.stdin.take().expect("it is piped");
    stdin.write_all(bytes).expect("it reads");
    drop(stdin);
    let output = gzip.wait_with_output().expect("it ends");
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn json_is_compressed_when_accepted_and_worthwhile() {
    let server = TestServer::start("").await;
    let long = server.create(direct("print('x' * 5000)")).await;
    let short = server.create(direct("print(1)")).await;
    for (interaction, wanted, packed) in
        [(&long, Some("gzip, deflate"), true), (&long, None, false), (&short, Some("gzip"), false)]
    {
        let id = interaction["id"].as_str().expect("it was stored");
        let mut request = server.request("GET", &format!("/v1/interactions/{id}"));
        if let Some(wanted) = wanted {
            request = request.header("accept-encoding", wanted);
        }
        let response = request.send().await.expect("the server answers");
        let encoding = response.headers().get("content-encoding").cloned();
        assert_eq!(encoding.is_some_and(|encoding| encoding == "gzip"), packed, "{wanted:?}");
        let bytes = response.bytes().await.expect("it is whole");
        let bytes = if packed { unpacked(&bytes) } else { bytes.to_vec() };
        let body: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        assert_eq!(body["id"], interaction["id"]);
    }
}

/// A test of Google's requires these two headers.
#[tokio::test]
async fn every_answer_has_browser_security_headers() {
    let server = TestServer::start("").await;
    for (path, status) in
        [("/healthz", 200), ("/v1beta/models", 200), ("/v1beta/interactions/nonsense", 400)]
    {
        let reply = server.get(path).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(reply.headers["x-xss-protection"], "0", "{path}");
    }
}

#[tokio::test]
async fn streams_are_not_compressed() {
    let server = TestServer::start("").await;
    let mut streamed = direct("print('x' * 5000)");
    streamed["stream"] = true.into();
    let classic = json!({"contents": [{"parts": [{"text": "print('x' * 5000)"}]}],
                         "tools": [{"codeExecution": {}}]});
    for (path, body) in [
        ("/v1beta/interactions", &streamed),
        ("/v1beta/models/direct:streamGenerateContent?alt=sse", &classic),
        ("/v1beta/models/direct:streamGenerateContent", &classic),
    ] {
        let request = server.request("POST", path).header("accept-encoding", "gzip").json(body);
        let response = request.send().await.expect("the server answers");
        assert_eq!(response.status().as_u16(), 200, "{path}");
        assert_eq!(response.headers().get("content-encoding"), None, "{path}");
        let text = response.text().await.expect("it is text");
        assert!(text.contains("xxxxx"), "{path}: {text}");
    }
}

#[tokio::test]
async fn cors_allows_local_pages_and_with_keys_all_pages() {
    let open = TestServer::start("").await;
    let keyed = TestServer::builder().keys(&["right"]).start().await;
    for (server, origin, wanted) in [
        (&open, "http://localhost:3000", Some("http://localhost:3000")),
        (&open, "https://example.org", None),
        (&keyed, "https://example.org", Some("*")),
    ] {
        // A preflight request has no key.
        let asked = server
            .request("OPTIONS", "/v1beta/interactions")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-goog-api-key,content-type");
        let asked = asked.send().await.expect("the server answers");
        assert_eq!(asked.status().as_u16(), 200, "{origin}");
        let header = |name: &str| asked.headers().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("access-control-allow-origin"), wanted, "{origin}");
        if wanted.is_some() {
            let headers = header("access-control-allow-headers").expect("it is there");
            assert!(headers.contains("x-goog-api-key"), "{headers}");
        }
        // A page must be able to read an error, too.
        let request = server.request("GET", "/v1/interactions/nonsense").header("origin", origin);
        let refused = request.send().await.expect("the server answers");
        assert!(refused.status().is_client_error());
        let allowed = refused.headers().get("access-control-allow-origin");
        assert_eq!(allowed.and_then(|value| value.to_str().ok()), wanted, "{origin}");
    }
}

#[tokio::test]
async fn every_answer_has_a_unique_request_id() {
    let server = TestServer::start("").await;
    let id = async || {
        let reply = server.get("/v1/interactions/nonsense").await;
        reply.headers["x-request-id"].to_str().expect("it is text").to_owned()
    };
    let (first, second) = (id().await, id().await);
    assert_eq!(first.len(), 32);
    assert_ne!(first, second);
}

/// HTTP/2 begins with the preface and an empty SETTINGS frame, and so does the answer.
#[tokio::test]
async fn http_2_with_prior_knowledge_is_served() {
    let server = TestServer::start("").await;
    let address = server.url().strip_prefix("http://").expect("it is plain").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .expect("it reads");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("it answers");
    assert_eq!(head[3], 4, "its first frame is SETTINGS");

    // And a whole request with prior knowledge of HTTP/2.
    let http2 = http_client::builder().no_proxy().http2_prior_knowledge().build();
    let http2 = http2.expect("there is no TLS to set up");
    let url = format!("{}//v1beta//interactions/", server.url());
    let response = http2.post(url).json(&direct("print(6 * 7)")).send().await.expect("it answers");
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let body: Value = response.json().await.expect("it is JSON");
    assert_eq!(body["steps"][1]["result"], "42\n");
    // The upload address is derived from the request's own.
    let start = http2
        .post(format!("{}/upload/v1beta/files", server.url()))
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-type", "text/plain");
    let response = start.send().await.expect("it answers");
    let url = response.headers()["x-goog-upload-url"].to_str().expect("it is text");
    assert!(url.starts_with(server.url()), "{url}");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected() {
    let patience = Duration::from_millis(300);
    let server = TestServer::builder().write_timeout(patience).start().await;
    let mut request = direct("");
    let large = "A".repeat(16 << 20);
    request["input"] = json!([
        {"type": "text", "text": "print(1)"},
        {"type": "document", "mime_type": "text/plain", "data": large},
    ]);
    let id = server.create(request).await["id"].as_str().expect("it was stored").to_owned();

    let address = server.url().strip_prefix("http://").expect("it is plain").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let head = format!("GET /v1/interactions/{id} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    // Until the client is dropped, only time passes: there is no event to wait for.
    let mut buffer = vec![0; 1 << 16];
    stream.read_exact(&mut buffer[..1]).await.expect("it answers");
    tokio::time::sleep(patience * 4).await;
    let mut taken = 1;
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        taken += bytes;
    }
    assert!(taken < large.len(), "it got all of it");

    // A client that reads slowly gets everything.
    let found = server.get(&format!("/v1/interactions/{id}")).await;
    assert_eq!(found.status, 200);
}

/// Clients send the body after the head, and their next request on the same connection.
#[tokio::test]
async fn a_connection_survives_a_request_that_is_refused_before_its_body() {
    let server = TestServer::builder().keys(&["k"]).start().await;
    let address = server.url().strip_prefix("http://").expect("it is plain HTTP");
    for (path, status) in [
        ("/v1beta/interactions", 401),
        ("/v1beta1/publishers/google/models/m:countTokens", 401),
        ("/", 400),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\nauthorization: Bearer wrong\r\n\r\n"
        );
        for _ in 0..2 {
            stream.write_all(head.as_bytes()).await.expect("it is open");
            // Meanwhile, the server gets the head.
            assert_eq!(server.get("/healthz").await.status, 200);
            stream.write_all(b"{}").await.expect("it is open");
            let mut found = Vec::new();
            while !found.ends_with(b"}\n") && !found.ends_with(b"}") {
                let mut piece = [0; 4096];
                let bytes = stream.read(&mut piece).await.expect("it is open");
                assert_ne!(bytes, 0, "{path}: the connection was closed");
                found.extend_from_slice(&piece[..bytes]);
            }
            let found = String::from_utf8_lossy(&found);
            assert!(found.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {found}");
        }
    }
}
