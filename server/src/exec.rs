//! `belljar exec`: a command with a server of its own beside it, found by Google's SDKs without a
//! word in the command's code.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use crate::config::Exec;

/// What a shell answers for a command that is not there, and for one that it may not run.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// In a session with an interpreter Ctrl-C is a key like any other, so two of them mean the end only
/// where they are close together.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// A command that takes longer to end is waited for aloud.
const TELL_AFTER: Duration = Duration::from_secs(2);
/// A process that a signal ended has this and the signal's number for its exit code.
const BY_SIGNAL: i32 = 128;

/// Settings that would lead an SDK past the server: another key, which has precedence, and Google's
/// other services.
const ELSEWHERE: [&str; 3] =
    ["GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"];

/// The signals that are meant for the command.
#[derive(Debug)]
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
    quit: unix::Signal,
}

impl Signals {
    /// From here on none of them ends this process.
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

/// The exit code for a command that a signal came before.
pub fn code_of(signal: Signal) -> u8 {
    u8::try_from(BY_SIGNAL + signal.as_raw()).unwrap_or(u8::MAX)
}

/// Runs the command beside the server at `url` and waits for its end. Signals are handed on; the same
/// one again ends the command at once. The answer is an exit code.
pub async fn run(exec: &Exec, url: &str, key: &str, signals: &mut Signals) -> io::Result<u8> {
    let mut child = match spawn(exec, url, key) {
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
                    return Ok(code_of(signal)); // the command is killed with its handle
                }
                last = Some((signal, Instant::now()));
            }
            () = until(patience) => {
                let name = exec.command[0].display();
                let seconds = AGAIN_WITHIN.as_secs();
                eprintln!(
                    "belljar: waiting for {name} to end; the same signal again, from a terminal \
                     twice within {seconds} s, ends it at once"
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

fn spawn(exec: &Exec, url: &str, key: &str) -> io::Result<Child> {
    command(exec, url, key).stdin(Stdio::inherit()).spawn()
}

/// The command, with the variables by which it finds the server at `url`.
pub fn command(exec: &Exec, url: &str, key: &str) -> Command {
    let mut command = Command::new(&exec.command[0]);
    command
        .args(&exec.command[1..])
        .env("GOOGLE_GEMINI_BASE_URL", url)
        .env("GEMINI_API_KEY", key)
        .env("NO_PROXY", &exec.no_proxy)
        .env("no_proxy", &exec.no_proxy)
        .kill_on_drop(true);
    for name in ELSEWHERE {
        command.env_remove(name);
    }
    command
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn hand_on(signal: Signal, child: &Child) {
    if is_typed(signal) {
        return; // the terminal has given it to the command already
    }
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(id) = id {
        // It may have ended in this moment, which is what is wanted.
        let _ = kill_process(id, signal);
    }
}

/// Whether it is a key of a terminal, and this process one of those that its keys are for.
fn is_typed(signal: Signal) -> bool {
    if !matches!(signal, Signal::INT | Signal::QUIT) {
        return false;
    }
    let Ok(terminal) = std::fs::File::open("/dev/tty") else {
        return false;
    };
    tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp())
}
