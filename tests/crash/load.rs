//! The clients' requests until the server dies, and the responses that they received.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use harness::{Client, Event, Reply, Stream, direct};

/// What a server has acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// Complete responses.
    pub answers: Vec<Value>,
    /// Streams, as far as they were received.
    pub streams: Vec<Seen>,
    /// Ids of deleted interactions.
    pub deleted: Vec<String>,
    /// Files, as the server described them.
    pub files: Vec<Value>,
    /// Incomplete uploads.
    pub uploads: Vec<Upload>,
    /// Every id that the server has assigned.
    ids: HashSet<String>,
}

#[derive(Debug, Clone)]
pub struct Seen {
    pub id: String,
    pub events: Vec<Event>,
    /// Whether it continues without its client.
    pub background: bool,
}

#[derive(Debug, Clone)]
pub struct Upload {
    /// Path and query of its URL.
    pub path: String,
    /// Bytes that the server has acknowledged.
    pub taken: usize,
}

/// Total size of an upload.
pub const UPLOAD_BYTES: usize = 3 << 18;

impl Acknowledged {
    /// Records an id. The server must not assign an id twice.
    fn named(&mut self, id: &str) {
        assert!(self.ids.insert(id.to_owned()), "{id} was assigned twice");
    }

    pub fn add(&mut self, other: Acknowledged) {
        self.answers.extend(other.answers);
        self.streams.extend(other.streams);
        self.deleted.extend(other.deleted);
        self.files.extend(other.files);
        other.ids.iter().for_each(|id| self.named(id));
    }

    /// A random sample of each kind.
    pub fn some_of(&self, rng: &mut SeededRng) -> Acknowledged {
        fn some<T: Clone>(all: &[T], rng: &mut SeededRng) -> Vec<T> {
            let many = if all.is_empty() { 0 } else { 5 };
            (0..many).map(|_| all[rng.below(all.len() as u64) as usize].clone()).collect()
        }
        Acknowledged {
            answers: some(&self.answers, rng),
            streams: some(&self.streams, rng),
            deleted: some(&self.deleted, rng),
            files: some(&self.files, rng),
            ..Acknowledged::default()
        }
    }

    pub fn count(&self) -> String {
        format!(
            "{} answers, {} streams, {} deleted, {} files",
            self.answers.len(),
            self.streams.len(),
            self.deleted.len(),
            self.files.len()
        )
    }
}

/// SplitMix64: the same numbers for the same seed.
#[derive(Debug)]
pub struct SeededRng(u64);

impl SeededRng {
    pub fn new(seed: u64) -> SeededRng {
        SeededRng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Sends one request after another until the server stops responding.
pub async fn ask(client: Client, mut rng: SeededRng, acknowledged: Arc<Mutex<Acknowledged>>) {
    loop {
        let kind = rng.below(6);
        let alive = match kind {
            0 => answer(&client, &mut rng, &acknowledged).await,
            1 | 2 => stream(&client, false, &acknowledged).await,
            3 => stream(&client, true, &acknowledged).await,
            4 => deleted(&client, &mut rng, &acknowledged).await,
            _ => upload(&client, &mut rng, &acknowledged).await,
        };
        if alive.is_none() {
            return;
        }
    }
}

fn noted(acknowledged: &Mutex<Acknowledged>, note: impl FnOnce(&mut Acknowledged)) {
    note(&mut acknowledged.lock());
}

/// `None` if the server is gone. A response must be a success.
async fn reply(request: reqwest::RequestBuilder) -> Option<Reply> {
    let reply = Reply::try_to(request).await?;
    assert_eq!(reply.status, 200, "{}", reply.body);
    Some(reply)
}

async fn answer(
    client: &Client,
    rng: &mut SeededRng,
    acknowledged: &Mutex<Acknowledged>,
) -> Option<()> {
    let code = format!("import matplotlib\nprint({})", rng.below(1000));
    let request = client.request("POST", "/v1beta/interactions").json(&direct(&code));
    let answer = reply(request).await?.body;
    noted(acknowledged, |acknowledged| {
        acknowledged.named(answer["id"].as_str().expect("it has one"));
        acknowledged.answers.push(answer);
    });
    Some(())
}

async fn stream(
    client: &Client,
    background: bool,
    acknowledged: &Mutex<Acknowledged>,
) -> Option<()> {
    let body = json!({"model": "m", "input": "?", "stream": true, "background": background,
                      "tools": [{"type": "code_execution"}]});
    let request = client.request("POST", "/v1beta/interactions").json(&body);
    let mut stream = Stream::try_of(request).await?;
    let mut events = Vec::new();
    while let Some(event) = stream.next_or_cut().await {
        events.push(event);
    }
    let over = events.last().is_some_and(|event| event.name == "done");
    let first = events.first()?;
    let id = first.data["interaction"]["id"].as_str().expect("it has one").to_owned();
    noted(acknowledged, |acknowledged| {
        acknowledged.named(&id);
        acknowledged.streams.push(Seen { id, events, background });
    });
    over.then_some(())
}

async fn deleted(
    client: &Client,
    rng: &mut SeededRng,
    acknowledged: &Mutex<Acknowledged>,
) -> Option<()> {
    let code = format!("print({})", rng.below(1000));
    let request = client.request("POST", "/v1beta/interactions").json(&direct(&code));
    let answer = reply(request).await?.body;
    let id = answer["id"].as_str().expect("it has one").to_owned();
    noted(acknowledged, |acknowledged| acknowledged.named(&id));
    reply(client.request("DELETE", &format!("/v1beta/interactions/{id}"))).await?;
    noted(acknowledged, |acknowledged| acknowledged.deleted.push(id));
    Some(())
}

/// In pieces, as the SDKs upload.
async fn upload(
    client: &Client,
    rng: &mut SeededRng,
    acknowledged: &Mutex<Acknowledged>,
) -> Option<()> {
    let start = client
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", UPLOAD_BYTES)
        .header("x-goog-upload-header-content-type", "text/csv")
        .json(&json!({"file": {"displayName": format!("{}", rng.next())}}));
    let begun = reply(start).await?;
    let url = begun.headers["x-goog-upload-url"].to_str().expect("it is text");
    let path = url.strip_prefix(client.url()).expect("it is below our address").to_owned();
    let piece = UPLOAD_BYTES / 3;
    for offset in (0..UPLOAD_BYTES).step_by(piece) {
        noted(acknowledged, |acknowledged| {
            let known = acknowledged.uploads.iter_mut().find(|upload| upload.path == path);
            match known {
                Some(upload) => upload.taken = offset,
                None => acknowledged.uploads.push(Upload { path: path.clone(), taken: offset }),
            }
        });
        let is_last = offset + piece == UPLOAD_BYTES;
        let command = if is_last { "upload, finalize" } else { "upload" };
        let request = client
            .request("POST", &path)
            .header("x-goog-upload-command", command)
            .header("x-goog-upload-offset", offset)
            .body(vec![b'a'; piece]);
        let sent = reply(request).await?;
        if is_last {
            noted(acknowledged, |acknowledged| {
                acknowledged.uploads.retain(|upload| upload.path != path);
                acknowledged.files.push(sent.body["file"].clone());
            });
        }
    }
    Some(())
}
