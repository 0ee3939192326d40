//! `belljar doctor --client`: runs a client's command once without failures, then once with each
//! failure and each quirk, and reports which it survived.
//!
//! Faults are set on the server (`/x/faults`), because an arbitrary command cannot be made to send
//! a header. A fault that no request triggered proves nothing.

use std::io::{self, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::config::Exec;
use crate::exec::{self, ServerAccess};
use domain::chaos::quirk::QUIRKS;

/// Maximum size of a command's output that is kept, from its end.
const KEPT_BYTES: usize = 4 << 10;
/// Maximum length of the line that is shown.
const SHOWN_CHARS: usize = 200;

/// The server.
#[derive(Debug)]
pub struct Server {
    client: Client,
    access: ServerAccess,
}

/// A failure to test.
#[derive(Debug)]
struct Trial {
    name: String,
    fault: Value,
    issue: Option<&'static str>,
}

/// Result of a test.
#[derive(Debug)]
enum FaultVerdict {
    Survived,
    /// The command failed with this message.
    Failed(String),
    /// No request triggered the fault.
    NotMet,
}

/// Why the tests could not run.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("could not run {command}: {source}")]
    Command { command: String, source: io::Error },
    #[error("could not reach the server: {0}")]
    Server(#[from] reqwest::Error),
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Tests a command and prints one line per test. Returns whether it survived every fault that
/// occurred.
pub async fn examine(
    command: &Exec,
    within: Duration,
    server: &Server,
    to: &mut impl Write,
) -> Result<bool, ClientError> {
    server.set_faults(&json!([])).await?;
    if let Err(why) = run(command, within, server).await? {
        writeln!(to, "failed    without any failure: {why}")?;
        return Ok(false);
    }
    writeln!(to, "ok        without any failure")?;
    let (mut survived, mut failed, mut not_met) = (0, 0, 0);
    for trial in trials() {
        let Trial { name, issue, .. } = &trial;
        let issue = issue.map(|issue| format!(" ({issue})")).unwrap_or_default();
        match attempt(&trial, command, within, server).await? {
            FaultVerdict::Survived => {
                survived += 1;
                writeln!(to, "survived  {name}{issue}")?;
            }
            FaultVerdict::Failed(why) => {
                failed += 1;
                writeln!(to, "failed    {name}{issue}: {why}")?;
            }
            FaultVerdict::NotMet => {
                not_met += 1;
                writeln!(to, "not met   {name}{issue}")?;
            }
        }
    }
    server.set_faults(&json!([])).await?;
    writeln!(to, "{survived} survived, {failed} failed, {not_met} not met")?;
    Ok(failed == 0)
}

/// Common failures of a service, then the quirks.
fn trials() -> Vec<Trial> {
    let failures = [
        ("429 with Retry-After, once", json!({"status": 429, "retry_after": "1s", "times": 1})),
        ("500, once", json!({"status": 500, "times": 1})),
        ("503, once", json!({"status": 503, "times": 1})),
        ("504, once", json!({"status": 504, "times": 1})),
        ("a response that begins after 3 s", json!({"delay": "3s"})),
        ("a stream with 100 ms between its events", json!({"between_events": "100ms"})),
        (
            "a connection that is dropped after 3 events, once",
            json!({"drop_after_events": 3, "times": 1}),
        ),
        (
            "a connection that is dropped after 100 bytes, once",
            json!({"drop_after_bytes": 100, "times": 1}),
        ),
        ("an event that is not valid JSON, once", json!({"malformed_event": 3, "times": 1})),
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
) -> Result<FaultVerdict, ClientError> {
    server.set_faults(&json!([trial.fault])).await?;
    let ended = run(command, within, server).await?;
    let happened = server.happened().await?;
    Ok(match ended {
        Ok(()) if happened == 0 => FaultVerdict::NotMet,
        Ok(()) => FaultVerdict::Survived,
        Err(why) => FaultVerdict::Failed(why),
    })
}

/// Runs the command to its end or its time limit. The error describes the failure.
async fn run(
    exec: &Exec,
    within: Duration,
    server: &Server,
) -> Result<Result<(), String>, ClientError> {
    let mut child = exec::command(exec, &server.access)
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
        Err(_) => Err(format!("it did not exit within {} s", within.as_secs())),
        Ok(ended) => match ended? {
            (status, _) if status.success() => Ok(()),
            (status, words) => Err(format!("{}{}", code(status), last_line(&words))),
        },
    })
}

/// The end of a stream.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut piece = [0; KEPT_BYTES];
    // A read error counts as the end.
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
    pub fn new(access: ServerAccess) -> Result<Server, ClientError> {
        let client = http_client::builder().no_proxy().build()?;
        Ok(Server { client, access })
    }

    /// Replaces all faults of the server.
    async fn set_faults(&self, faults: &Value) -> Result<(), ClientError> {
        for (path, body) in [("/x/reset", &json!({})), ("/x/faults", faults)] {
            let request = self.client.post(format!("{}{path}", self.access.url)).json(body);
            request.header("x-goog-api-key", &self.access.key).send().await?.error_for_status()?;
        }
        Ok(())
    }

    /// How often the fault has happened.
    async fn happened(&self) -> Result<u64, ClientError> {
        let request = self.client.get(format!("{}/x/faults", self.access.url));
        let answer = request.header("x-goog-api-key", &self.access.key).send().await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let faults = answer["faults"].as_array().cloned().unwrap_or_default();
        Ok(faults.iter().filter_map(|fault| fault["happened"].as_u64()).sum())
    }
}
