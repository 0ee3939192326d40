//! What is said about a run, to the client and to the model alike.

use protocol::{Finished, Limit, Outcome as Verdict};

use crate::interaction::Outcome;
use crate::sandbox::RunOutput;

/// A run in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub outcome: Outcome,
    /// A run that worked: its stdout. Any other: stdout, stderr with the traceback, and a line for
    /// what was seen from outside.
    pub result: String,
    pub stdout: String,
    /// With a line for what was seen from outside.
    pub stderr: String,
}

pub fn tell(output: &RunOutput) -> Told {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcome = match output.finished.outcome {
        Verdict::Ok => Outcome::Ok,
        Verdict::Stopped { limit: Limit::WallMs(_) } => Outcome::DeadlineExceeded,
        _ => Outcome::Failed,
    };
    let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    append(&mut stderr, &note(&output.finished));
    if outcome.is_error() && stderr.is_empty() {
        stderr.push_str("Failed without a word\n");
    }
    let mut result = stdout.clone();
    if outcome.is_error() {
        append(&mut result, &stderr);
    }
    Told { outcome, result, stdout, stderr }
}

/// What the code itself could not say any more.
fn note(finished: &Finished) -> String {
    match finished.outcome {
        Verdict::Ok | Verdict::Raised => String::new(),
        Verdict::Exited { code } => format!("Exited with code {code}\n"),
        Verdict::Signalled { signal } => format!("Crashed: {}\n", name_of(signal)),
        Verdict::Stopped { limit: Limit::WallMs(limit) } => {
            format!("TimeoutError: stopped after {} s (the limit of one run)\n", seconds(limit))
        }
        Verdict::Stopped { limit: Limit::MemoryBytes(limit) } => {
            format!("MemoryError: stopped, used more than {} MiB of memory\n", limit >> 20)
        }
        Verdict::Stopped { limit: Limit::OutputBytes(limit) } => {
            format!("OutputError: stopped, wrote more than {} MiB\n", limit >> 20)
        }
        Verdict::Stopped { limit: Limit::CodeBytes(limit) } => {
            format!("CodeError: not run, the code is longer than {limit} bytes\n")
        }
    }
}

fn name_of(signal: i32) -> String {
    let words = match signal {
        1 => "hung up (SIGHUP)",
        2 => "interrupted (SIGINT)",
        3 => "quit (SIGQUIT)",
        4 => "illegal instruction (SIGILL)",
        5 => "trap (SIGTRAP)",
        6 => "aborted (SIGABRT)",
        7 => "bus error (SIGBUS)",
        8 => "floating-point exception (SIGFPE)",
        9 => "killed (SIGKILL)",
        10 => "user's signal 1 (SIGUSR1)",
        11 => "segmentation fault (SIGSEGV)",
        12 => "user's signal 2 (SIGUSR2)",
        13 => "broken pipe (SIGPIPE)",
        14 => "alarm clock (SIGALRM)",
        15 => "terminated (SIGTERM)",
        24 => "CPU time limit (SIGXCPU)",
        25 => "file too large (SIGXFSZ)",
        31 => "forbidden system call (SIGSYS)",
        other => return format!("signal {other}"),
    };
    words.to_owned()
}

/// `30`, `0.5`
fn seconds(ms: u64) -> String {
    if ms.is_multiple_of(1000) {
        (ms / 1000).to_string()
    } else {
        format!("{}", ms as f64 / 1000.0)
    }
}

/// Puts text below what is there already, each on a line of its own.
fn append(to: &mut String, text: &str) {
    if !to.is_empty() && !to.ends_with('\n') && !text.is_empty() {
        to.push('\n');
    }
    to.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Usage;

    fn output(outcome: Verdict) -> RunOutput {
        RunOutput {
            finished: Finished {
                outcome,
                usage: Usage::default(),
                cell_lost: false,
                images_left_out: 0,
                files_left_out: 0,
            },
            stdout: "before".into(),
            stderr: "a warning\n".into(),
            images: Vec::new(),
            files: Vec::new(),
        }
    }

    #[test]
    fn each_verdict_has_its_words() {
        let cases = [
            (Verdict::Ok, Outcome::Ok, "before"),
            (Verdict::Raised, Outcome::Failed, "before\na warning\n"),
            (
                Verdict::Exited { code: 3 },
                Outcome::Failed,
                "before\na warning\nExited with code 3\n",
            ),
            (
                Verdict::Signalled { signal: 11 },
                Outcome::Failed,
                "before\na warning\nCrashed: segmentation fault (SIGSEGV)\n",
            ),
            (
                Verdict::Stopped { limit: Limit::WallMs(30_000) },
                Outcome::DeadlineExceeded,
                "before\na warning\nTimeoutError: stopped after 30 s (the limit of one run)\n",
            ),
            (
                Verdict::Stopped { limit: Limit::MemoryBytes(2 << 30) },
                Outcome::Failed,
                "before\na warning\nMemoryError: stopped, used more than 2048 MiB of memory\n",
            ),
        ];
        for (verdict, outcome, result) in cases {
            let told = tell(&output(verdict.clone()));
            assert_eq!((told.outcome, told.result.as_str()), (outcome, result), "{verdict:?}");
            assert_eq!(told.stdout, "before");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut output = output(Verdict::Ok);
        output.stdout = b"\xff!".as_slice().into();
        assert_eq!(tell(&output).result, "\u{fffd}!");
    }
}
