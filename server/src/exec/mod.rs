//! `belljar exec`: runs a command against a temporary server, which Google's SDKs find through
//! environment variables.

pub mod credentials;

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use crate::config::Exec;

/// Exit codes of a shell for a missing command and for one without execute permission.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// Interactive interpreters use Ctrl-C as an ordinary key, so two signals force the end only if
/// they arrive within this time.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// Delay after a signal before a notice that the command still runs.
const TELL_AFTER: Duration = Duration::from_secs(2);
/// Exit code of a process that was killed by a signal, minus the signal's number.
const BY_SIGNAL: i32 = 128;

/// Variables for the key: of Google's SDKs, and of the AI SDK.
const KEYS: [&str; 3] = ["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"];
/// Variables for the address, each with what follows the address in it: of Google's SDKs, and of
/// LiteLLM.
const ADDRESSES: [(&str, &str); 4] = [
    ("GOOGLE_GEMINI_BASE_URL", ""),
    ("GOOGLE_VERTEX_BASE_URL", ""),
    ("GEMINI_API_BASE", "/v1beta"),
    ("VERTEXAI_API_BASE", ""),
];
/// With a project and a location, Google's SDKs would log in to Vertex AI. Empty variables count as
/// unset, and tools that load a `.env` file leave them alone.
const EMPTY: [&str; 2] = ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"];

/// What a command needs to find its server.
#[derive(Debug, Clone)]
pub struct ServerAccess {
    pub url: String,
    pub key: String,
    /// A file for Google's authentication libraries.
    pub credentials: Option<PathBuf>,
}

/// Signals to forward to the command.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
    quit: unix::Signal,
}

impl Signals {
    /// Installs the handlers. From then on these signals do not end this process.
    pub fn catch() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hang_up: unix::signal(SignalKind::hangup())?,
            quit: unix::signal(SignalKind::quit())?,
        })
    }

    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
            _ = self.quit.recv() => Signal::QUIT,
        }
    }
}

/// The exit code when a signal ended the command.
pub fn code_of(signal: Signal) -> u8 {
    u8::try_from(BY_SIGNAL + signal.as_raw()).unwrap_or(u8::MAX)
}

/// Runs the command against the server and returns its exit code. Forwards signals; a repeated signal
/// kills the command.
pub async fn run(exec: &Exec, access: &ServerAccess, signals: &mut Signals) -> io::Result<u8> {
    let mut child = match spawn(exec, access) {
        Ok(child) => child,
        Err(error) => {
            eprintln!("belljar: could not run {}: {error}", exec.command[0].display());
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            return Ok(if is_missing { NOT_FOUND } else { NOT_EXECUTABLE });
        }
    };
    let mut last: Option<(Signal, Instant)> = None;
    let mut is_told = false;
    loop {
        let patience = last.filter(|_| !is_told).map(|(_, at)| at + TELL_AFTER);
        tokio::select! {
            status = child.wait() => return Ok(code(status?)),
            signal = signals.next() => {
                let again = last.is_some_and(|(before, at)| {
                    before == signal && (!is_typed(signal) || at.elapsed() < AGAIN_WITHIN)
                });
                hand_on(signal, &child);
                if again {
                    return Ok(code_of(signal)); // dropping the handle kills the command
                }
                last = Some((signal, Instant::now()));
            }
            () = until(patience) => {
                let name = exec.command[0].display();
                let seconds = AGAIN_WITHIN.as_secs();
                eprintln!(
                    "belljar: waiting for {name} to exit; send the same signal again (Ctrl-C: \
                     twice within {seconds} s) to kill it"
                );
                is_told = true;
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn spawn(exec: &Exec, access: &ServerAccess) -> io::Result<Child> {
    command(exec, access).stdin(Stdio::inherit()).spawn()
}

/// The command, with the variables through which clients find the server.
pub fn command(exec: &Exec, access: &ServerAccess) -> Command {
    let ServerAccess { url, key, credentials } = access;
    let mut command = Command::new(&exec.command[0]);
    command
        .args(&exec.command[1..])
        .envs(KEYS.map(|name| (name, key)))
        .envs(ADDRESSES.map(|(name, path)| (name, format!("{url}{path}"))))
        .envs(EMPTY.map(|name| (name, "")))
        .envs(credentials.iter().map(|path| ("GOOGLE_APPLICATION_CREDENTIALS", path)))
        .env("NO_PROXY", &exec.no_proxy)
        .env("no_proxy", &exec.no_proxy)
        .kill_on_drop(true);
    command
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn hand_on(signal: Signal, child: &Child) {
    if is_typed(signal) {
        return; // the terminal has sent it to the command already
    }
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // The process may have exited, which is fine.
        let _ = kill_process(id, signal);
    }
}

/// Whether the signal comes from a terminal whose foreground process group includes this process.
fn is_typed(signal: Signal) -> bool {
    if !matches!(signal, Signal::INT | Signal::QUIT) {
        return false;
    }
    let Ok(terminal) = std::fs::File::open("/dev/tty") else {
        return false;
    };
    tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp())
}
