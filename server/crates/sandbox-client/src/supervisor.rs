//! Runs the warden as a child process: starts it, restarts it when it exits, and stops it.
//!
//! ```text
//! start ──▶ Starting ──accepts connections──▶ Running ──exits──▶ Waiting (back-off)
//!                                                │  ▲               │
//!                                                │  └───spawned─────┘
//!                                                └──stop──▶ Stopped
//! ```
//!
//! The warden dies with the server. The cells of a warden that exited die with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::SandboxError;
use super::connection::LOOK_AGAIN_AFTER;
use resources::scratch::Scratch;

/// How long the warden may take to clean up and exit.
const END_WITHIN: Duration = Duration::from_secs(5);
/// Delay before the first restart. It doubles with each further one.
const MIN_BACK_OFF: Duration = Duration::from_millis(200);
/// Clients wait up to 5 s for a restarting warden, so the delay must stay below that.
const MAX_BACK_OFF: Duration = Duration::from_secs(2);
/// A warden that ran for this long resets the delay.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Variables that the warden inherits. It needs no keys.
const ENVIRONMENT: [&str; 8] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "TERM",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
];

/// How to start the warden.
#[derive(Debug, Clone)]
pub struct WardenCommand {
    pub program: PathBuf,
    /// Passed on unchanged.
    pub arguments: Vec<String>,
    /// Log filter, in the syntax of `BELLJAR_LOG`.
    pub log: String,
    /// `plain` or `json`.
    pub log_format: &'static str,
}

/// Owns the warden and its socket. Dropping it kills the warden.
#[derive(Debug)]
pub struct Supervisor {
    task: Mutex<AbortOnDropHandle<()>>,
    stopping: CancellationToken,
    folder: Scratch,
}

impl Supervisor {
    /// Starts the warden, and returns when it accepts connections.
    pub async fn start(command: WardenCommand) -> Result<Supervisor, SandboxError> {
        let failed = |source| SandboxError::Start { program: command.program.clone(), source };
        // Cells without their own root need search permission on this folder, and nothing more.
        let folder = Scratch::new(0o711).map_err(failed)?;
        let socket = socket_in(&folder);
        let mut process = command.spawn(&socket).map_err(failed)?;
        while UnixStream::connect(&socket).await.is_err() {
            if let Some(status) = process.try_wait().map_err(failed)? {
                return Err(SandboxError::Ended(status));
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        let stopping = CancellationToken::new();
        let task = tokio::spawn(supervise(process, command, socket, stopping.clone()));
        Ok(Supervisor { task: Mutex::new(AbortOnDropHandle::new(task)), stopping, folder })
    }

    pub fn socket(&self) -> PathBuf {
        socket_in(&self.folder)
    }

    /// Lets the warden clean up and exit.
    pub async fn stop(&self) {
        self.stopping.cancel();
        drop((&mut *self.task.lock().await).await); // a panic has been reported already
    }
}

fn socket_in(folder: &Scratch) -> PathBuf {
    folder.path().join("warden.sock")
}

impl WardenCommand {
    fn spawn(&self, socket: &Path) -> std::io::Result<Child> {
        Command::new(&self.program)
            .arg("serve")
            .arg("--socket")
            .arg(socket)
            .arg("--die-with-parent")
            .args(&self.arguments)
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("BELLJAR_LOG", &self.log)
            .env("BELLJAR_LOG_FORMAT", self.log_format)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Keeps Ctrl-C in the terminal from reaching the warden: the server lets running code
            // finish.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// The states after the start.
enum State {
    Running {
        process: Box<Child>,
        since: Instant,
    },
    /// Waiting before a restart.
    Waiting,
    Stopped,
}

/// Moves through the states until `stopping`.
async fn supervise(
    process: Child,
    command: WardenCommand,
    socket: PathBuf,
    stopping: CancellationToken,
) {
    let mut back_off = BackOff::default();
    let mut state = State::Running { process: Box::new(process), since: Instant::now() };
    loop {
        state = match state {
            State::Running { process, since } => {
                let next = wait_for_exit(*process, &stopping).await;
                if since.elapsed() >= STABLE_AFTER {
                    back_off = BackOff::default();
                }
                next
            }
            State::Waiting => {
                let waited = tokio::time::sleep(back_off.next());
                match stopping.run_until_cancelled(waited).await {
                    Some(()) => restart(&command, &socket),
                    None => State::Stopped,
                }
            }
            State::Stopped => return,
        };
    }
}

async fn wait_for_exit(mut process: Child, stopping: &CancellationToken) -> State {
    tokio::select! {
        ended = process.wait() => match ended {
            Ok(status) => tracing::error!(%status, "warden exited, restarting"),
            Err(error) => tracing::error!(%error, "could not wait for the warden"),
        },
        () = stopping.cancelled() => {
            terminate(process).await;
            return State::Stopped;
        }
    }
    State::Waiting
}

fn restart(command: &WardenCommand, socket: &Path) -> State {
    match command.spawn(socket) {
        Ok(process) => State::Running { process: Box::new(process), since: Instant::now() },
        Err(error) => {
            tracing::error!(%error, "could not start the warden");
            State::Waiting
        }
    }
}

/// Sends SIGTERM, and kills the warden after a timeout.
async fn terminate(mut process: Child) {
    let id = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let asked = id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok());
    if !asked || tokio::time::timeout(END_WITHIN, process.wait()).await.is_err() {
        tracing::warn!("warden did not stop, killing it");
    }
}

/// Delays between restarts.
#[derive(Debug, Default)]
struct BackOff {
    restarts: u32,
}

impl BackOff {
    fn next(&mut self) -> Duration {
        let delay = MIN_BACK_OFF.saturating_mul(2_u32.saturating_pow(self.restarts));
        self.restarts = self.restarts.saturating_add(1);
        delay.min(MAX_BACK_OFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_between_restarts_doubles_up_to_a_maximum() {
        let mut back_off = BackOff::default();
        let delays: Vec<_> = (0..6).map(|_| back_off.next().as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1600, 2000, 2000]);
        let mut late = BackOff { restarts: u32::MAX };
        assert_eq!(late.next(), MAX_BACK_OFF);
    }
}
