//! Compiles schemas and compares answers in child processes, which have limits of memory and time.
//!
//! A schema of a kilobyte can take a validator hours or gigabytes, to compile it or to compare an answer
//! with it, and a thread cannot be stopped. The child is this program, started with [`ARGUMENT`]:
//!
//! ```text
//!   server ── stdin: Task as JSON ──▶ child ── stdout: one Verdict per line ──▶ server
//! ```
//!
//! The last whole line counts. A child that finds a difference reports it first without details,
//! because the details can take more than its limits.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::compare;
use crate::store::Owner;

/// The argument that makes this program a child.
pub const ARGUMENT: &str = "check-response-format";
/// Maximum number of children.
const AT_A_TIME: usize = 2;
/// Maximum number of children of one owner, so that its other tasks wait behind those of all others.
const AT_A_TIME_OF_OWNER: usize = 1;
/// How long a task may wait for its child to start.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Maximum processor time of a child, and how long the server waits for it.
const CPU_SECONDS: u64 = 5;
const WITHIN: Duration = Duration::from_secs(10);
/// Maximum size of a child's address space, program and stack included.
const MEMORY_BYTES: u64 = 384 << 20;
/// Lowers the priority of a child below that of the server.
const NICE: i32 = 10;
/// Maximum size of a child's output. An error has 1000 letters.
const OUTPUT_BYTES: u64 = 64 << 10;

/// What a child does. The server borrows what it sends.
#[derive(Debug, Serialize, Deserialize)]
struct Task<S, A> {
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
    #[error("it takes too much time or memory")]
    Limit,
    #[error("the check could not be started")]
    NotStarted,
}

/// Starts children.
#[derive(Debug)]
pub struct Checker {
    program: PathBuf,
    places: Semaphore,
    /// The places of owners with tasks or formats.
    of_owners: Mutex<HashMap<Owner, Weak<Semaphore>>>,
}

/// Starts children for one owner.
#[derive(Debug, Clone)]
pub struct OwnersChecker {
    checker: Arc<Checker>,
    places: Arc<Semaphore>,
}

impl Checker {
    /// `program` is Belljar's own program, such as `/proc/self/exe`.
    pub fn new(program: PathBuf) -> Checker {
        Checker { program, places: Semaphore::new(AT_A_TIME), of_owners: Mutex::default() }
    }

    pub fn of(self: &Arc<Self>, owner: &Owner) -> OwnersChecker {
        let mut owners = self.of_owners.lock();
        let known = owners.get(owner).and_then(Weak::upgrade);
        let places = known.unwrap_or_else(|| {
            owners.retain(|_, places| places.strong_count() > 0);
            let places = Arc::new(Semaphore::new(AT_A_TIME_OF_OWNER));
            owners.insert(owner.clone(), Arc::downgrade(&places));
            places
        });
        OwnersChecker { checker: Arc::clone(self), places }
    }

    async fn run(&self, schema: &Value, answer: Option<&str>) -> Result<Verdict, CheckError> {
        let task = serde_json::to_vec(&Task { schema, answer }).map_err(|_| CheckError::Limit)?;
        let mut child = self.command().spawn().map_err(|error| {
            tracing::error!(%error, program = %self.program.display(), "schema check not started");
            CheckError::NotStarted
        })?;
        let verdict = tokio::time::timeout(WITHIN, talk(&mut child, task)).await;
        verdict.ok().flatten().ok_or(CheckError::Limit)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(ARGUMENT).env_clear().current_dir("/").kill_on_drop(true);
        // The allocator takes memory as it is needed: what it reserves counts towards the limit.
        command.env("MIMALLOC_ARENA_RESERVE", "16MiB").env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

impl OwnersChecker {
    /// Compiles a schema, and compares an answer with it. Dropping the future kills the child.
    pub async fn check(&self, schema: &Value, answer: Option<&str>) -> Result<Verdict, CheckError> {
        let places = async {
            let own = self.places.acquire().await.ok()?;
            Some((own, self.checker.places.acquire().await.ok()?))
        };
        let places = tokio::time::timeout(START_WITHIN, places).await;
        let Ok(Some(_places)) = places else { return Err(CheckError::Busy) };
        self.checker.run(schema, answer).await
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
pub fn child() -> ExitCode {
    match limit_resources().and_then(|()| work()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn limit_resources() -> std::io::Result<()> {
    let at_most = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::As, at_most(MEMORY_BYTES))?;
    setrlimit(Resource::Cpu, at_most(CPU_SECONDS))?;
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Fsize, at_most(0))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    nice(NICE)?;
    // If the machine has no memory left, the kernel ends a child and not the server. A kernel that
    // hides the file has the limit above.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

fn work() -> std::io::Result<()> {
    let mut task = Vec::new();
    std::io::stdin().lock().read_to_end(&mut task)?;
    let Task::<Value, String> { schema, answer } = serde_json::from_slice(&task)?;
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
