//! Requests that a browser sends for a foreign page, to a server without keys.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use harness::TestServer;

/// Every kind of route that has an effect or discloses something.
const ROUTES: [&str; 17] = [
    "POST /x/execute",
    "POST /x/scenarios",
    "DELETE /x/scenarios",
    "POST /x/faults",
    "GET /x/journal",
    "POST /x/reset",
    "GET /x/isolation",
    "POST /v1beta/interactions",
    "GET /v1/interactions/v1_x",
    "POST /v1/interactions/v1_x/cancel",
    "DELETE /v1alpha/interactions/v1_x",
    "POST /v1beta/models/direct:generateContent",
    "GET /v1beta/models",
    "GET /v1beta/files",
    "POST /upload/v1beta/files?uploadType=media",
    "PUT /upload/v1beta/files?upload_id=x",
    "POST /nothing",
];

/// Headers that name the origin of a request; the server listens at `127.0.0.1`.
const FOREIGN: [&str; 5] = [
    "Host: rebound.evil.example\r\n",
    "Host: localhost\r\nOrigin: https://evil.example\r\n",
    "Host: localhost\r\nOrigin: null\r\n",
    "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
    "Host: localhost\r\nHost: evil.example\r\n",
];

/// Sends this head and nothing after it, and reads the whole answer.
async fn answer_to(server: &TestServer, head: &str) -> (u16, Value) {
    let address = server.url().strip_prefix("http://").expect("it is plain").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers and closes");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status.expect("it has a status"), serde_json::from_str(body).unwrap_or_default())
}

/// The head of a request whose body never comes: a handler that waits for the body never answers.
fn head(route: &str, lines: &str) -> String {
    format!(
        "{route} HTTP/1.1\r\n{lines}Content-Type: text/plain\r\nContent-Length: 30\r\n\
         Connection: close\r\n\r\n"
    )
}

#[tokio::test]
async fn a_foreign_page_is_refused_on_every_route_before_its_body_is_read() {
    let server = TestServer::start("").await;
    for route in ROUTES {
        for lines in FOREIGN {
            let (status, body) = answer_to(&server, &head(route, lines)).await;
            assert_eq!(status, 403, "{route} {lines}: {body}");
            let error = &body["error"];
            let is_enveloped = error["code"] == "permission_denied"
                || error["code"] == 403 && error["status"] == "PERMISSION_DENIED";
            assert!(is_enveloped, "{route}: {body}");
        }
    }
    // Also where the request line has an absolute address, and in HTTP/1.0.
    let absolute = "GET http://evil.example/x/journal HTTP/1.1\r\nHost: localhost\r\n\
                    Connection: close\r\n\r\n";
    let old = "GET /x/journal HTTP/1.0\r\nHost: evil.example\r\n\r\n";
    for head in [absolute, old] {
        assert_eq!(answer_to(&server, head).await.0, 403, "{head}");
    }
    let journal = server.get("/x/journal").await;
    assert_eq!(journal.body["entries"], json!([]), "nothing was carried out");
}

#[tokio::test]
async fn programs_and_pages_of_this_machine_are_answered() {
    let server = TestServer::builder().hosts(&["server"]).start().await;
    for lines in [
        "Host: 127.0.0.1:8080\r\n",
        "Host: LocalHost.:8080\r\n",
        "Host: [::1]:8080\r\n",
        "Host: 192.168.0.7\r\n",
        "Host: server:8080\r\n",
        "Host: app.localhost\r\nOrigin: http://app.localhost:3000\r\nSec-Fetch-Site: same-site\r\n",
        // A page of a development server, which uses another name of the same machine.
        "Host: 127.0.0.1:8080\r\nOrigin: http://localhost:5173\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: server:8080\r\nOrigin: https://server\r\n",
    ] {
        let request = format!("GET /x/journal HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
        assert_eq!(answer_to(&server, &request).await.0, 200, "{lines}");
    }
    assert_eq!(answer_to(&server, "GET /x/journal HTTP/1.0\r\n\r\n").await.0, 200);
    let nameless = "GET /x/journal HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(answer_to(&server, nameless).await.0, 400);
    // A probe may use any name, and learns nothing.
    for path in ["/healthz", "/readyz", "/openapi.json", "/docs"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n");
        assert_eq!(answer_to(&server, &request).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_a_development_server_may_ask_and_read() {
    let server = TestServer::start("").await;
    let request = server
        .request("POST", "/x/execute")
        .header("origin", "http://localhost:5173")
        .header("sec-fetch-site", "cross-site")
        .json(&json!({"code": "print(6 * 7)"}));
    let response = request.send().await.expect("the server answers");
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost:5173");
    let body: Value = response.json().await.expect("it is JSON");
    assert_eq!(body["stdout"], "42\n");
}

#[tokio::test]
async fn http_2_requests_are_checked_too() {
    let server = TestServer::start("").await;
    let http2 = http_client::builder().no_proxy().http2_prior_knowledge();
    let address = server.url().strip_prefix("http://").expect("it is plain").to_owned();
    let address = address.parse().expect("it is an address");
    let http2 = http2.resolve("rebound.evil.example", address).build().expect("it can be made");
    let url = |host: &str| format!("http://{host}:{}/x/journal", address.port());
    for (host, wanted) in [("rebound.evil.example", 403), ("127.0.0.1", 200)] {
        let response = http2.get(url(host)).send().await.expect("the server answers");
        assert_eq!(response.status().as_u16(), wanted, "{host}");
    }
}

/// A foreign page has no key.
#[tokio::test]
async fn a_page_with_a_key_is_accepted() {
    let server = TestServer::builder().keys(&["right"]).start().await;
    let request = "GET /v1beta/models HTTP/1.1\r\nHost: gemini.example.org\r\n\
                   Origin: https://app.example.org\r\nSec-Fetch-Site: cross-site\r\n";
    for (key, wanted) in [("x-goog-api-key: right\r\n", 200), ("", 403)] {
        let request = format!("{request}{key}Connection: close\r\n\r\n");
        assert_eq!(answer_to(&server, &request).await.0, wanted, "{key}");
    }
}
