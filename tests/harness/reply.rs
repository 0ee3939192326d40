//! The client: requests, replies and streams.

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::recorder::{self, Kind};

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    http: reqwest::Client,
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    /// `Null` if the body is not JSON.
    pub body: Value,
}

impl Client {
    pub fn new(url: String) -> Client {
        let http = http_client::builder().no_proxy().build().expect("there is no TLS to set up");
        Client { url, http }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("the test names a method");
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::to(self.request("GET", path)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        Reply::to(self.request("DELETE", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::to(self.request("POST", path).json(body)).await
    }

    /// Creates an interaction, which must succeed.
    pub async fn create(&self, request: Value) -> Value {
        let reply = self.post("/v1beta/interactions", &request).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Creates an interaction as a stream.
    pub async fn create_stream(&self, mut request: Value) -> Stream {
        request["stream"] = true.into();
        Stream::of(self.request("POST", "/v1beta/interactions").json(&request)).await
    }

    /// All events of an existing interaction, or those after an event.
    pub async fn events(&self, id: &str, after: Option<&str>) -> Vec<Event> {
        let after = after.map(|id| format!("&last_event_id={id}")).unwrap_or_default();
        let path = format!("/v1beta/interactions/{id}?stream=true{after}");
        Stream::of(self.request("GET", &path)).await.rest().await
    }
}

impl Reply {
    pub async fn to(request: reqwest::RequestBuilder) -> Reply {
        Reply::read(request).await.expect("the server sends a whole answer")
    }

    /// `None` if the server does not answer, or the answer is cut.
    pub async fn try_to(request: reqwest::RequestBuilder) -> Option<Reply> {
        Reply::read(request).await.ok()
    }

    async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
        let (client, request) = request.build_split();
        let request = request?;
        let method = request.method().to_string();
        let response = client.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let url = response.url();
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        recorder::record(Kind::Answer, &method, &path, status, &body);
        Ok(Reply { status, headers, body })
    }

    /// The error message in either envelope.
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub name: String,
    /// The text itself if it is not JSON.
    pub data: Value,
}

impl Event {
    pub fn id(&self) -> &str {
        self.data["event_id"].as_str().unwrap_or_default()
    }
}

/// A stream that is being read. Dropping it closes the connection.
#[derive(Debug)]
pub struct Stream {
    response: reqwest::Response,
    buffer: String,
}

impl Stream {
    pub async fn of(request: reqwest::RequestBuilder) -> Stream {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers());
        let kind = headers.get("content-type").and_then(|value| value.to_str().ok());
        assert_eq!((status.as_u16(), kind), (200, Some("text/event-stream")));
        Stream { response, buffer: String::new() }
    }

    /// `None` if the server does not answer.
    pub async fn try_of(request: reqwest::RequestBuilder) -> Option<Stream> {
        let response = request.send().await.ok()?;
        assert_eq!(response.status().as_u16(), 200);
        Some(Stream { response, buffer: String::new() })
    }

    pub async fn next(&mut self) -> Option<Event> {
        self.piece().await.expect("the stream is not cut")
    }

    /// The same for a stream that may be cut; a cut is its end.
    pub async fn next_or_cut(&mut self) -> Option<Event> {
        self.piece().await.ok().flatten()
    }

    async fn piece(&mut self) -> reqwest::Result<Option<Event>> {
        loop {
            if let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let event = parse(frame);
                self.buffer = rest.to_owned();
                let Some(event) = event else { continue };
                let path = self.response.url().path();
                recorder::record(Kind::Event, "", path, 200, &event.data);
                return Ok(Some(event));
            }
            let Some(chunk) = self.response.chunk().await? else { return Ok(None) };
            self.buffer.push_str(
                std::str::from_utf8(&chunk).expect("the chunks of the tests are valid UTF-8"),
            );
        }
    }

    /// Reads to the first event of this name.
    pub async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("no {name} in the stream"));
            if event.name == name {
                return event;
            }
        }
    }

    pub async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        assert_eq!(self.buffer, "", "an event without its blank line");
        events
    }
}

/// Parses an event. A comment is not an event.
fn parse(frame: &str) -> Option<Event> {
    let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
    let name = field("event: ")?.to_owned();
    let data = field("data: ").unwrap_or_default();
    let data = serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned()));
    Some(Event { name, data })
}
