//! HTTP/2, where one connection has many requests: their limit, and stalled streams.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response};
use futures_util::future::join_all;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use harness::{TestServer, direct};

/// Concurrent requests on one connection, and on all of them.
const STREAMS: usize = 100;
const IN_FLIGHT: usize = 8192;
/// Answers compressed at the same time.
const PACKERS: usize = 128;
/// Far longer than any step of these tests.
const SOON: Duration = Duration::from_secs(30);
/// An answer of some 10 KB that needs no sandbox.
const DOCUMENT: &str = "/openapi.json";

/// A client whose streams have a flow-control window of this many bytes.
struct Client {
    requests: SendRequest<Bytes>,
    url: String,
}

impl Client {
    async fn connect(server: &TestServer, window: u32) -> Client {
        let address = server.url().strip_prefix("http://").expect("it is plain");
        let stream = TcpStream::connect(address).await.expect("it listens");
        let handshake = Builder::new().initial_window_size(window).handshake(stream);
        let (requests, connection) = handshake.await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        Client { requests, url: server.url().to_owned() }
    }

    /// The head of an answer. None of its body is read yet.
    async fn get(&self, path: &str, encoding: &str) -> Response<RecvStream> {
        let request = Request::get(format!("{}{path}", self.url));
        let request = request.header("accept-encoding", encoding).body(()).expect("it is one");
        let mut requests = self.requests.clone().ready().await.expect("it takes another one");
        let (answer, _) = requests.send_request(request, true).expect("it is sent");
        timeout(SOON, answer).await.expect("it answers soon").expect("it answers")
    }
}

/// Reads a whole body, and releases window as it reads.
async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = timeout(SOON, body.data()).await.expect("it goes on or ends") {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// An interaction with this many letters.
async fn large(server: &TestServer, letters: usize) -> String {
    let mut request = direct("");
    request["input"] = json!([
        {"type": "text", "text": "print(1)"},
        {"type": "document", "mime_type": "text/plain", "data": "A".repeat(letters)},
    ]);
    let interaction = server.create(request).await;
    format!("/v1/interactions/{}", interaction["id"].as_str().expect("it was stored"))
}

/// For each window: none, less than a frame, less than the answer.
#[tokio::test]
async fn a_stream_whose_client_reads_nothing_is_reset_and_others_continue() {
    let patience = Duration::from_millis(500);
    let server = TestServer::builder().write_timeout(patience).start().await;
    let path = large(&server, 4 << 20).await;
    for window in [0, 1, 65_535] {
        let client = Client::connect(&server, window).await;
        let mut answer = client.get(&path, "identity").await;
        // A reset stream no longer counts on the connection.
        let mut pieces = 0;
        let reset = loop {
            match timeout(SOON, answer.body_mut().data()).await.expect("it is reset") {
                Some(Ok(piece)) => pieces += piece.len(),
                Some(Err(error)) => break error,
                None => panic!("it got all of it: {pieces} bytes of {window}"),
            }
        };
        assert_eq!(reset.reason(), Some(Reason::CANCEL), "{window}");
        assert!(pieces <= window as usize, "{pieces} bytes of {window}");
        let other = client.get("/healthz", "identity").await;
        assert_eq!(other.status(), 200, "{window}");
    }
    // A client that reads slowly gets everything.
    let slow = Client::connect(&server, 1000).await;
    let taken = read(slow.get(&path, "identity").await.into_body()).await.expect("it is whole");
    assert!(taken.len() > 4 << 20);
}

/// The budget of answers is released too.
#[tokio::test]
async fn unread_answers_do_not_block_other_answers() {
    let server =
        TestServer::builder().write_timeout(Duration::from_secs(8)).output_bytes(100 << 20);
    let server = server.start().await;
    let path = large(&server, 30 << 20).await;
    let client = Client::connect(&server, 0).await;
    let mut stalled = Vec::new();
    loop {
        let answer = client.get(&path, "identity").await;
        if answer.status() == 503 {
            break;
        }
        stalled.push(answer);
        assert!(stalled.len() < STREAMS, "there is no limit");
    }
    for answer in stalled {
        let mut body = answer.into_body();
        while let Some(Ok(_)) = timeout(SOON, body.data()).await.expect("it is reset") {}
    }
    assert_eq!(server.get(&path).await.status, 200);
}

#[tokio::test]
async fn concurrent_requests_are_limited_per_connection_and_in_total() {
    let server = TestServer::start("").await;
    let mut clients = Vec::new();
    let mut held = Vec::new();
    while held.len() < IN_FLIGHT {
        let client = Client::connect(&server, 0).await;
        let count = STREAMS.min(IN_FLIGHT - held.len());
        let answers = join_all((0..count).map(|_| client.get(DOCUMENT, "identity"))).await;
        held.extend(answers);
        let most = client.requests.current_max_send_streams();
        assert_eq!(most, STREAMS);
        clients.push(client);
    }
    assert!(held.iter().all(|answer| answer.status() == 200));
    let client = Client::connect(&server, 65_535).await;
    let refused = client.get("/v1beta/models", "identity").await;
    assert_eq!(refused.status(), 503);
    let refused = read(refused.into_body()).await.expect("it is whole");
    let refused = String::from_utf8(refused).expect("it is text");
    assert!(refused.contains("8192 at a time"), "{refused}");
    assert_eq!(client.get("/healthz", "identity").await.status(), 200);
    // The clients disconnect, and the server notices.
    drop((held, clients));
    let again = async {
        while client.get("/v1beta/models", "identity").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, again).await.expect("requests are accepted again");
}

/// Each compressor holds memory until its answer is read.
#[tokio::test]
async fn concurrent_compressions_are_limited() {
    let server = TestServer::start("").await;
    let mut clients = Vec::new();
    let mut packed = 0;
    let mut held = Vec::new();
    for _ in 0..3 {
        let client = Client::connect(&server, 0).await;
        let answers = join_all((0..STREAMS).map(|_| client.get(DOCUMENT, "gzip"))).await;
        packed += answers.iter().filter(|a| a.headers().contains_key("content-encoding")).count();
        held.extend(answers);
        clients.push(client);
    }
    assert_eq!(packed, PACKERS);
}
