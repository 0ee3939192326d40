//! `belljar doctor --client`: a client's command, run once without and then once with each failure
//! and each quirk, and which of them it survived.
//!
//! What goes wrong is ordered at the server itself (`/x/faults`), for a command cannot be told to
//! send a header. A failure that the command never met says nothing about it.

use std::io::{self, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::config::Exec;
use crate::exec;
use crate::quirk::QUIRKS;

/// What is kept of what a command wrote, from its end.
const KEPT_BYTES: usize = 4 << 10;
/// What is shown of its last line.
const SHOWN_CHARS: usize = 200;

/// Where the server is, and how it is asked.
#[derive(Debug)]
pub struct Server {
    client: Client,
    url: String,
    key: String,
}

/// Something that goes wrong.
#[derive(Debug)]
struct Trial {
    name: String,
    fault: Value,
    issue: Option<&'static str>,
}

/// How it went.
#[derive(Debug)]
enum Verdict {
    Survived,
    /// It ended badly, and with these words.
    Fell(String),
    /// What was to go wrong concerned nothing that it asked.
    NotMet,
}

/// Why nothing can be tried.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("could not run {command}: {source}")]
    Command { command: String, source: io::Error },
    #[error("the server does not answer: {0}")]
    Server(#[from] reqwest::Error),
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Tries a command, and says what came of it, a line each. Whether it survived all that it met.
pub async fn examine(
    command: &Exec,
    within: Duration,
    server: &Server,
    to: &mut impl Write,
) -> Result<bool, ClientError> {
    server.order(&json!([])).await?;
    if let Err(why) = run(command, within, server).await? {
        writeln!(to, "falls     without any failure: {why}")?;
        return Ok(false);
    }
    writeln!(to, "ok        without any failure")?;
    let (mut survived, mut fell, mut not_met) = (0, 0, 0);
    for trial in trials() {
        let Trial { name, issue, .. } = &trial;
        let issue = issue.map(|issue| format!(" ({issue})")).unwrap_or_default();
        match attempt(&trial, command, within, server).await? {
            Verdict::Survived => {
                survived += 1;
                writeln!(to, "survived  {name}{issue}")?;
            }
            Verdict::Fell(why) => {
                fell += 1;
                writeln!(to, "falls     {name}{issue}: {why}")?;
            }
            Verdict::NotMet => {
                not_met += 1;
                writeln!(to, "not met   {name}{issue}")?;
            }
        }
    }
    server.order(&json!([])).await?;
    writeln!(to, "{survived} survived, {fell} not, {not_met} not met")?;
    Ok(fell == 0)
}

/// What a service does now and then, and after it what users have met.
fn trials() -> Vec<Trial> {
    let failures = [
        ("429 with Retry-After, once", json!({"status": 429, "retry_after": "1s", "times": 1})),
        ("500, once", json!({"status": 500, "times": 1})),
        ("503, once", json!({"status": 503, "times": 1})),
        ("504, once", json!({"status": 504, "times": 1})),
        ("an answer that begins after 3 s", json!({"delay": "3s"})),
        ("a stream with 100 ms between its events", json!({"between_events": "100ms"})),
        (
            "a connection that is cut after 3 events, once",
            json!({"drop_after_events": 3, "times": 1}),
        ),
        (
            "a connection that is cut after 100 bytes, once",
            json!({"drop_after_bytes": 100, "times": 1}),
        ),
        ("an event that is no JSON, once", json!({"malformed_event": 3, "times": 1})),
        ("a model that stops for SAFETY", json!({"finish": "SAFETY"})),
        ("a model that stops for MAX_TOKENS", json!({"finish": "MAX_TOKENS"})),
    ];
    let failures = failures.into_iter().map(|(name, fault)| Trial {
        name: name.to_owned(),
        fault,
        issue: None,
    });
    let quirks = QUIRKS.iter().map(|about| Trial {
        name: format!("quirk {}", about.name),
        fault: json!({"quirk": about.name}),
        issue: Some(about.issue),
    });
    failures.chain(quirks).collect()
}

async fn attempt(
    trial: &Trial,
    command: &Exec,
    within: Duration,
    server: &Server,
) -> Result<Verdict, ClientError> {
    server.order(&json!([trial.fault])).await?;
    let ended = run(command, within, server).await?;
    let happened = server.happened().await?;
    Ok(match ended {
        Ok(()) if happened == 0 => Verdict::NotMet,
        Ok(()) => Verdict::Survived,
        Err(why) => Verdict::Fell(why),
    })
}

/// Runs the command to its end, or to the end of its time. What went wrong is in words.
async fn run(
    exec: &Exec,
    within: Duration,
    server: &Server,
) -> Result<Result<(), String>, ClientError> {
    let mut child = exec::command(exec, &server.url, &server.key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ClientError::Command {
            command: exec.command[0].display().to_string(),
            source,
        })?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(within, async {
        let (status, out, errors) = tokio::join!(child.wait(), tail(out), tail(errors));
        status.map(|status| (status, if errors.is_empty() { out } else { errors }))
    });
    Ok(match ended.await {
        Err(_) => Err(format!("it did not end within {} s", within.as_secs())),
        Ok(ended) => match ended? {
            (status, _) if status.success() => Ok(()),
            (status, words) => Err(format!("{}{}", code(status), last_line(&words))),
        },
    })
}

/// The end of what somebody writes.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut piece = [0; KEPT_BYTES];
    // One that cannot be read has nothing more to say.
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(&piece[..count]);
        kept.drain(..kept.len().saturating_sub(KEPT_BYTES));
    }
    kept
}

fn last_line(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let line = words.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let shown = |line: &str| format!(": {}", line.chars().take(SHOWN_CHARS).collect::<String>());
    line.map(shown).unwrap_or_default()
}

fn code(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

impl Server {
    pub fn new(url: &str, key: &str) -> Result<Server, ClientError> {
        let client = Client::builder().no_proxy().build()?;
        Ok(Server { client, url: url.to_owned(), key: key.to_owned() })
    }

    /// What is to go wrong from now on, and nothing of what was before.
    async fn order(&self, faults: &Value) -> Result<(), ClientError> {
        for (path, body) in [("/x/reset", &json!({})), ("/x/faults", faults)] {
            let request = self.client.post(format!("{}{path}", self.url)).json(body);
            request.header("x-goog-api-key", &self.key).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// How often it has gone wrong since.
    async fn happened(&self) -> Result<u64, ClientError> {
        let request = self.client.get(format!("{}/x/faults", self.url));
        let answer = request.header("x-goog-api-key", &self.key).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let faults = answer["faults"].as_array().cloned().unwrap_or_default();
        Ok(faults.iter().filter_map(|fault| fault["happened"].as_u64()).sum())
    }
}
