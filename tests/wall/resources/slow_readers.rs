//! Clients that read their responses slowly: the response is kept for them, and uses no more memory than
//! its size.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::alive;
use harness::Program;

const READERS: usize = 12;
/// Limit for each of them: a response as text, as JSON, and being sent, of 2 MiB each.
const MOST_BYTES: u64 = 12 << 20;

fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// A connection with the smallest possible receive buffer, after its request is sent.
async fn ask(url: &str, body: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("it is no TLS").parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("there are sockets");
    socket.set_recv_buffer_size(4 << 10).expect("it can be set");
    let mut stream = socket.connect(address).await.expect("the server listens");
    let head = format!(
        "POST /x/execute HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.expect("the server reads");
    stream
}

/// [G18]
#[tokio::test]
async fn slow_readers_use_bounded_memory_and_delay_no_other_client() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let code = "import sys\nprint('x' * 2_000_000)\nsys.stderr.write('y' * 2_000_000)";
    let body = json!({"code": code}).to_string();
    alive(&server).await;
    let before = resident_bytes(server.id());

    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = ask(server.url(), &body).await;
        // The response has begun; from now on it is read one kilobyte at a time.
        let mut start = [0; 64];
        reader.read_exact(&mut start).await.expect("there is an answer");
        assert!(start.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", String::from_utf8_lossy(&start));
        readers.push(reader);
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..10 {
        ticks.tick().await;
        for reader in &mut readers {
            reader.read_exact(&mut [0; 200]).await.expect("it goes on");
        }
        alive(&server).await;
    }

    let grown = resident_bytes(server.id()).saturating_sub(before);
    assert!(grown < READERS as u64 * MOST_BYTES, "{} MiB", grown >> 20);
    let mut rest = Vec::new();
    readers.remove(0).read_to_end(&mut rest).await.expect("it is all there");
    assert!(rest.len() > 2_000_000 && rest.ends_with(b"}"), "{} bytes", rest.len());
}
