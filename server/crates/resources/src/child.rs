//! Child processes of this program, for work on untrusted input that can take hours or gigabytes. A
//! thread cannot be stopped; a child has limits of memory and time.
//!
//! ```text
//!   server ── stdin: a task as JSON ──▶ child ── stdout: its result as JSON ──▶ server
//! ```

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

/// Maximum processor time of a child.
pub const CPU_SECONDS: u64 = 5;
/// Maximum size of a child's address space, program and stack included.
const MEMORY_BYTES: u64 = 384 << 20;
/// Lowers the priority of a child below that of the server.
const NICE: i32 = 5;

/// Why a child has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    #[error("it takes too much time or memory")]
    Limit,
    #[error("it could not be started")]
    NotStarted,
}

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Sets the program that children run: Belljar's own. The first call counts.
pub fn set_program(path: PathBuf) {
    PROGRAM.get_or_init(|| path);
}

/// Starts this program with one argument and pipes, without an environment.
pub fn command(argument: &str) -> Result<Command, ChildError> {
    let program = PROGRAM.get().ok_or(ChildError::NotStarted)?;
    let mut command = Command::new(program);
    command.arg(argument).env_clear().current_dir("/");
    // The allocator takes memory as it is needed: what it reserves counts towards the limit.
    command.env("MIMALLOC_ARENA_RESERVE", "16MiB").env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(command)
}

/// Gives a child its task and returns what it writes, up to a maximum size. Blocks the thread until the
/// child ends, which its limits ensure.
pub fn run(argument: &str, task: &[u8], most_bytes: u64) -> Result<Vec<u8>, ChildError> {
    let mut child = command(argument)?.spawn().map_err(|error| {
        tracing::error!(%error, task = argument, "child process not started");
        ChildError::NotStarted
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that died has no result, which is noticed below.
        let _ = stdin.write_all(task);
    }
    let mut output = Vec::new();
    let read = child.stdout.take().map(|stdout| stdout.take(most_bytes).read_to_end(&mut output));
    // Reaps it.
    let ended = child.wait();
    match (read, ended) {
        (Some(Ok(_)), Ok(status)) if status.success() => Ok(output),
        _ => Err(ChildError::Limit),
    }
}

/// Limits the child that this process is.
pub fn limit_resources() -> std::io::Result<()> {
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
