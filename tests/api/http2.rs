//! HTTP/2, where one connection has many requests: how many there may be, and what stalls.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response};
use futures_util::future::join_all;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{TestServer, direct};

/// Requests at a time on one connection, and on all of them.
const STREAMS: usize = 100;
const IN_FLIGHT: usize = 8192;
/// Answers that are packed at a time.
const PACKERS: usize = 128;
/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(30);
/// An answer of some 10 KB that needs no sandbox.
const DOCUMENT: &str = "/openapi.json";

/// A client whose streams take so many bytes before it says that they may take more.
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

    /// The head of an answer. Nothing of its body is taken yet.
    async fn get(&self, path: &str, encoding: &str) -> Response<RecvStream> {
        let request = Request::get(format!("{}{path}", self.url));
        let request = request.header("accept-encoding", encoding).body(()).expect("it is one");
        let mut requests = self.requests.clone().ready().await.expect("it takes another one");
        let (answer, _) = requests.send_request(request, true).expect("it is sent");
        timeout(SOON, answer).await.expect("it answers soon").expect("it answers")
    }
}

/// All of a body, as a client takes it that has room for a window at a time.
async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(piece) = timeout(SOON, body.data()).await.expect("it goes on or ends") {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// An interaction that has so many letters in it.
async fn large(server: &TestServer, letters: usize) -> String {
    let mut request = direct("");
    request["input"] = json!([
        {"type": "text", "text": "print(1)"},
        {"type": "document", "mime_type": "text/plain", "data": "A".repeat(letters)},
    ]);
    let interaction = server.create(request).await;
    format!("/v1/interactions/{}", interaction["id"].as_str().expect("it was stored"))
}

/// Whatever room it leaves: none, less than a frame, less than the answer.
#[tokio::test]
async fn a_stream_whose_client_takes_nothing_is_reset_and_the_others_go_on() {
    let patience = Duration::from_millis(500);
    let server = TestServer::builder().stalled_after(patience).start().await;
    let path = large(&server, 4 << 20).await;
    for window in [0, 1, 65_535] {
        let client = Client::connect(&server, window).await;
        let mut answer = client.get(&path, "identity").await;
        // Its place on the connection is free again when it is reset.
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
    // One that reads, however little at a time, gets everything.
    let slow = Client::connect(&server, 1000).await;
    let taken = read(slow.get(&path, "identity").await.into_body()).await.expect("it is whole");
    assert!(taken.len() > 4 << 20);
}

/// The budget of answers is free again too.
#[tokio::test]
async fn answers_that_nobody_takes_do_not_keep_others_from_theirs() {
    let server =
        TestServer::builder().stalled_after(Duration::from_secs(8)).output_bytes(100 << 20);
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
async fn requests_at_a_time_are_limited_on_a_connection_and_on_all() {
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
    // The clients go away, and the server notices.
    drop((held, clients));
    let again = async {
        while client.get("/v1beta/models", "identity").await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, again).await.expect("there is room again");
}

/// Each packer takes memory for as long as its answer is not taken.
#[tokio::test]
async fn only_so_many_answers_are_packed_at_a_time() {
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
