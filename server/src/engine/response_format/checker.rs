//! Compiles schemas and compares answers in child processes: a schema of a kilobyte can take a
//! validator hours or gigabytes, to compile it or to compare an answer with it.
//!
//! A child writes one [`Verdict`] per line, and the last whole line counts. A child that finds a
//! difference reports it first without details, because the details can take more than its limits.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::compare;
use domain::owner::Owner;
use resources::child::{self, ChildError};
use resources::places::{OwnersPlaces, Places};

/// The argument that makes this program a child.
pub const ARGUMENT: &str = "check-response-format";
/// Maximum number of children, of all owners and of one.
const AT_A_TIME: usize = 2;
const AT_A_TIME_OF_OWNER: usize = 1;
/// How long a task may wait for its child to start.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long the server waits for a child.
const WITHIN: Duration = Duration::from_secs(2 * child::CPU_SECONDS);
/// Maximum size of a child's output. An error has 1000 letters.
const OUTPUT_BYTES: u64 = 64 << 10;

/// What a child does. The server borrows what it sends.
#[derive(Debug, Serialize, Deserialize)]
struct CheckTask<S, A> {
    schema: S,
    /// Absent if the schema is only compiled.
    answer: Option<A>,
}

/// What a child reports.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The schema is valid, and the answer matches it.
    Valid,
    InvalidSchema(String),
    /// Why the answer does not match, unless that takes too much.
    Mismatch(Option<String>),
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("other response schemas take all places; try again later")]
    Busy,
    #[error(transparent)]
    Child(#[from] ChildError),
}

/// Starts children.
#[derive(Debug)]
pub struct Checker(Places);

impl Default for Checker {
    fn default() -> Checker {
        Checker(Places::new(AT_A_TIME, AT_A_TIME_OF_OWNER))
    }
}

impl Checker {
    pub fn of(&self, owner: &Owner) -> OwnersChecker {
        OwnersChecker(self.0.of(owner))
    }
}

/// Starts children for one owner.
#[derive(Debug, Clone)]
pub struct OwnersChecker(OwnersPlaces);

impl OwnersChecker {
    /// Compiles a schema, and compares an answer with it. Dropping the future kills the child.
    pub async fn check(&self, schema: &Value, answer: Option<&str>) -> Result<Verdict, CheckError> {
        let place = tokio::time::timeout(START_WITHIN, self.0.take()).await;
        let Ok(_place) = place else { return Err(CheckError::Busy) };
        let task =
            serde_json::to_vec(&CheckTask { schema, answer }).map_err(|_| ChildError::Limit)?;
        let mut command = Command::from(child::command(ARGUMENT)?);
        let mut child = command.kill_on_drop(true).spawn().map_err(|error| {
            tracing::error!(%error, task = ARGUMENT, "child process not started");
            ChildError::NotStarted
        })?;
        let verdict = tokio::time::timeout(WITHIN, talk(&mut child, task)).await;
        Ok(verdict.ok().flatten().ok_or(ChildError::Limit)?)
    }
}

/// Gives a child its task and reads its verdict.
async fn talk(child: &mut Child, task: Vec<u8>) -> Option<Verdict> {
    let (mut stdin, stdout) = (child.stdin.take()?, child.stdout.take()?);
    let write = async move {
        // A child that died reports nothing, which is noticed below.
        let _ = stdin.write_all(&task).await;
    };
    let mut output = Vec::new();
    let mut stdout = stdout.take(OUTPUT_BYTES);
    let (_, read) = tokio::join!(write, stdout.read_to_end(&mut output));
    read.ok()?;
    // Reaps it.
    child.wait().await.ok()?;
    last_verdict(&output)
}

/// The last whole line. A child may die within a line.
fn last_verdict(output: &[u8]) -> Option<Verdict> {
    let mut lines = output.split_inclusive(|byte| *byte == b'\n').rev();
    let line = lines.find(|line| line.ends_with(b"\n"))?;
    serde_json::from_slice(line).ok()
}

/// The main function of a child.
pub fn main() -> ExitCode {
    match child::limit_resources().and_then(|()| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn work() -> std::io::Result<()> {
    let mut task = Vec::new();
    std::io::stdin().lock().read_to_end(&mut task)?;
    let CheckTask::<Value, String> { schema, answer } = serde_json::from_slice(&task)?;
    drop(task);
    let validator = match compare::compiled(&schema) {
        Ok(validator) => validator,
        Err(why) => return report(&Verdict::InvalidSchema(why)),
    };
    let Some(answer) = answer else { return report(&Verdict::Valid) };
    let value = match compare::parsed(&answer) {
        Ok(value) => value,
        Err(why) => return report(&Verdict::Mismatch(Some(why))),
    };
    if validator.is_valid(&value) {
        return report(&Verdict::Valid);
    }
    report(&Verdict::Mismatch(None))?;
    match compare::difference(&validator, &value) {
        Some(why) => report(&Verdict::Mismatch(Some(why))),
        None => Ok(()),
    }
}

fn report(verdict: &Verdict) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer(&mut stdout, verdict)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_counts() {
        let first = b"{\"mismatch\":null}\n".as_slice();
        assert_eq!(last_verdict(first), Some(Verdict::Mismatch(None)));
        for cut in [b"{\"mismatch\":\"at".as_slice(), b""] {
            assert_eq!(last_verdict(&[first, cut].concat()), Some(Verdict::Mismatch(None)));
        }
        let second = b"{\"mismatch\":\"at /n\"}\n".as_slice();
        let whole = last_verdict(&[first, second].concat());
        assert_eq!(whole, Some(Verdict::Mismatch(Some("at /n".to_owned()))));
        assert_eq!(last_verdict(b""), None);
    }
}
