//! What clients do until their server dies, and what it told them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Client, Event, Reply, Stream, direct};

/// What a server has said that it did.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// Whole answers.
    pub answers: Vec<Value>,
    /// Streams, as far as they came.
    pub streams: Vec<Seen>,
    /// Ids that are gone.
    pub deleted: Vec<String>,
    /// Files, as they were described.
    pub files: Vec<Value>,
    /// Uploads that have not come to their end.
    pub uploads: Vec<Upload>,
    /// Every id that was ever given out.
    ids: HashSet<String>,
}

#[derive(Debug, Clone)]
pub struct Seen {
    pub id: String,
    pub events: Vec<Event>,
    /// Whether it goes on without its client.
    pub background: bool,
}

#[derive(Debug, Clone)]
pub struct Upload {
    /// Path and query of its address.
    pub path: String,
    /// Bytes that the server has taken.
    pub taken: usize,
}

/// All that an upload is to have.
pub const UPLOAD_BYTES: usize = 3 << 18;

impl Acknowledged {
    /// An id is given out once, whatever happened in between.
    fn named(&mut self, id: &str) {
        assert!(self.ids.insert(id.to_owned()), "{id} was given out twice");
    }

    pub fn add(&mut self, other: Acknowledged) {
        self.answers.extend(other.answers);
        self.streams.extend(other.streams);
        self.deleted.extend(other.deleted);
        self.files.extend(other.files);
        other.ids.iter().for_each(|id| self.named(id));
    }

    /// A few of each.
    pub fn some_of(&self, dice: &mut Dice) -> Acknowledged {
        fn some<T: Clone>(all: &[T], dice: &mut Dice) -> Vec<T> {
            let many = if all.is_empty() { 0 } else { 5 };
            (0..many).map(|_| all[dice.below(all.len() as u64) as usize].clone()).collect()
        }
        Acknowledged {
            answers: some(&self.answers, dice),
            streams: some(&self.streams, dice),
            deleted: some(&self.deleted, dice),
            files: some(&self.files, dice),
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
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.throw() % limit
    }
}

/// Asks for one thing after another, until nobody answers any more.
pub async fn ask(client: Client, mut dice: Dice, told: Arc<Mutex<Acknowledged>>) {
    loop {
        let kind = dice.below(6);
        let alive = match kind {
            0 => answer(&client, &mut dice, &told).await,
            1 | 2 => stream(&client, false, &told).await,
            3 => stream(&client, true, &told).await,
            4 => deleted(&client, &mut dice, &told).await,
            _ => upload(&client, &mut dice, &told).await,
        };
        if alive.is_none() {
            return;
        }
    }
}

fn noted(told: &Mutex<Acknowledged>, note: impl FnOnce(&mut Acknowledged)) {
    note(&mut told.lock().expect("no client has panicked"));
}

/// Nothing where the server is gone. All that it does say has to be a success.
async fn reply(request: reqwest::RequestBuilder) -> Option<Reply> {
    let reply = Reply::try_to(request).await?;
    assert_eq!(reply.status, 200, "{}", reply.body);
    Some(reply)
}

async fn answer(client: &Client, dice: &mut Dice, told: &Mutex<Acknowledged>) -> Option<()> {
    let code = format!("import matplotlib\nprint({})", dice.below(1000));
    let request = client.request("POST", "/v1beta/interactions").json(&direct(&code));
    let answer = reply(request).await?.body;
    noted(told, |told| {
        told.named(answer["id"].as_str().expect("it has one"));
        told.answers.push(answer);
    });
    Some(())
}

async fn stream(client: &Client, background: bool, told: &Mutex<Acknowledged>) -> Option<()> {
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
    noted(told, |told| {
        told.named(&id);
        told.streams.push(Seen { id, events, background });
    });
    over.then_some(())
}

async fn deleted(client: &Client, dice: &mut Dice, told: &Mutex<Acknowledged>) -> Option<()> {
    let code = format!("print({})", dice.below(1000));
    let request = client.request("POST", "/v1beta/interactions").json(&direct(&code));
    let answer = reply(request).await?.body;
    let id = answer["id"].as_str().expect("it has one").to_owned();
    noted(told, |told| told.named(&id));
    reply(client.request("DELETE", &format!("/v1beta/interactions/{id}"))).await?;
    noted(told, |told| told.deleted.push(id));
    Some(())
}

/// In pieces, as the SDKs do it.
async fn upload(client: &Client, dice: &mut Dice, told: &Mutex<Acknowledged>) -> Option<()> {
    let start = client
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", UPLOAD_BYTES)
        .header("x-goog-upload-header-content-type", "text/csv")
        .json(&json!({"file": {"displayName": format!("{}", dice.throw())}}));
    let begun = reply(start).await?;
    let url = begun.headers["x-goog-upload-url"].to_str().expect("it is text");
    let path = url.strip_prefix(client.url()).expect("it is below our address").to_owned();
    let piece = UPLOAD_BYTES / 3;
    for offset in (0..UPLOAD_BYTES).step_by(piece) {
        noted(told, |told| {
            let known = told.uploads.iter_mut().find(|upload| upload.path == path);
            match known {
                Some(upload) => upload.taken = offset,
                None => told.uploads.push(Upload { path: path.clone(), taken: offset }),
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
            noted(told, |told| {
                told.uploads.retain(|upload| upload.path != path);
                told.files.push(sent.body["file"].clone());
            });
        }
    }
    Some(())
}
