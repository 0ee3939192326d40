//! A client with little overhead, because it shares the processors with the server: one thread, persistent
//! connections, serialized requests. Of an answer it checks only its end and whether it contains the expected text.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::event::epoll;
use rustix::fd::OwnedFd;

use crate::times::Times;

/// Limit for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A repeated request, and the text that its answer must contain.
#[derive(Debug)]
pub struct Question {
    bytes: Vec<u8>,
    answer: &'static str,
}

impl Question {
    /// A `POST` of JSON to a server at `http://HOST:PORT`.
    pub fn post(
        url: &str,
        path: &str,
        body: &str,
        answer: &'static str,
    ) -> anyhow::Result<Question> {
        let host = host(url)?;
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Question { bytes: bytes.into(), answer })
    }
}

/// Connections to one server, each with at most one outstanding request.
#[derive(Debug)]
pub struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    asked: Instant,
    /// The bytes of the answer received so far.
    answer: Vec<u8>,
    length: usize,
}

impl Load {
    pub fn open(url: &str, width: usize) -> anyhow::Result<Load> {
        let host = host(url)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for at in 0..width {
            let stream =
                TcpStream::connect(host).with_context(|| format!("connecting to {host}"))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(at as u64);
            epoll::add(&epoll, &stream, data, epoll::EventFlags::IN)?;
            connections.push(Connection {
                stream,
                asked: Instant::now(),
                answer: vec![0; MAX_ANSWER_BYTES],
                length: 0,
            });
        }
        Ok(Load { epoll, connections })
    }

    /// Sends `count` requests in total, on each connection as soon as it has its answer. Returns the times from each
    /// request to the last byte of its answer, and the total time.
    pub fn ask(&mut self, question: &Question, count: usize) -> anyhow::Result<(Times, Duration)> {
        let mut times = Times::new();
        let mut left = count;
        let began = Instant::now();
        let first = left.min(self.connections.len());
        for connection in &mut self.connections[..first] {
            connection.ask(question)?;
        }
        left -= first;
        let mut waiting = first;
        let mut events = Vec::with_capacity(self.connections.len());
        let within = ANSWERS_WITHIN.try_into().context("a few seconds are a time")?;
        while waiting > 0 {
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&within))?;
            ensure!(!events.is_empty(), "no answer within {} s", ANSWERS_WITHIN.as_secs());
            for event in &events {
                let at = usize::try_from(event.data.u64())?;
                let connection = self.connections.get_mut(at).context("it is one of ours")?;
                let Some(took) = connection.receive(question)? else { continue };
                times.record(took);
                if left > 0 {
                    left -= 1;
                    connection.ask(question)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        Ok((times, began.elapsed()))
    }
}

impl Connection {
    fn ask(&mut self, question: &Question) -> anyhow::Result<()> {
        self.length = 0;
        self.asked = Instant::now();
        // The request fits into the socket's buffer, so the write does not block.
        self.stream.write_all(&question.bytes).context("sending a request")
    }

    /// Reads the available bytes, and returns the time of the answer if it is complete.
    fn receive(&mut self, question: &Question) -> anyhow::Result<Option<Duration>> {
        match self.stream.read(&mut self.answer[self.length..]) {
            Ok(0) => bail!("the server has closed a connection, or an answer is too long"),
            Ok(bytes) => self.length += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("reading an answer"),
        }
        let answer = std::str::from_utf8(&self.answer[..self.length]).unwrap_or_default();
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return Ok(None) };
        if !is_whole(head, body)? {
            return Ok(None);
        }
        let took = self.asked.elapsed();
        let is_right = head.starts_with("HTTP/1.1 200 ") && body.contains(question.answer);
        ensure!(is_right, "another answer than `{}`: {answer:.2000}", question.answer);
        Ok(Some(took))
    }
}

/// Whether the body is complete. A chunked body ends with an empty chunk, whose bytes do not occur in JSON.
fn is_whole(head: &str, body: &str) -> anyhow::Result<bool> {
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(": ") else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok(body.len() >= value.parse()?);
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(body.ends_with("\r\n0\r\n\r\n"));
        }
    }
    bail!("an answer without a length: {head}")
}

fn host(url: &str) -> anyhow::Result<&str> {
    url.strip_prefix("http://").with_context(|| format!("{url} is no address of a server here"))
}
