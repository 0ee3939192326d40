//! Converts the output of a run to text for the client and the model.

use protocol::{Limit, RunOutcome, size};

use domain::interaction::Outcome;
use sandbox_client::RunOutput;

/// A run as text.
#[derive(Debug, PartialEq, Eq)]
pub struct RunReport {
    pub outcome: Outcome,
    /// Of a successful run: its stdout. Of a failed run: stdout, stderr with the traceback, and a line
    /// about what the warden observed.
    pub result: String,
    pub stdout: String,
    /// With the same line.
    pub stderr: String,
}

impl RunReport {
    pub fn new(output: &RunOutput) -> RunReport {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let outcome = match output.finished.outcome {
            RunOutcome::Ok => Outcome::Ok,
            RunOutcome::Stopped { limit: Limit::WallMs(_) | Limit::CpuMs(_) } => {
                Outcome::DeadlineExceeded
            }
            _ => Outcome::Failed,
        };
        let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        append(&mut stderr, &note(&output.finished.outcome));
        if outcome.is_error() && stderr.is_empty() {
            stderr.push_str("Process failed with no output\n");
        }
        let mut result = stdout.clone();
        if outcome.is_error() {
            append(&mut result, &stderr);
        }
        let missing = missing(output);
        append(&mut result, &missing);
        append(&mut stderr, &missing);
        RunReport { outcome, result, stdout, stderr }
    }
}

/// A line about what the code itself could not report.
fn note(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Ok | RunOutcome::Raised { limit: None } => String::new(),
        RunOutcome::Raised { limit: Some(limit) } => format!("The limit is {}\n", limit.amount()),
        RunOutcome::Exited { code } => format!("Exited with code {code}\n"),
        RunOutcome::Signalled { signal } => format!("Crashed: {}\n", name_of(*signal)),
        RunOutcome::Stopped { limit } => format!("{}\n", limit.message()),
    }
}

/// Lines about pictures and files that are not in the output.
fn missing(output: &RunOutput) -> String {
    let (finished, limits) = (&output.finished, &output.limits);
    let line = |left_out: u32, what: &str, most: u32, bytes: &str| match left_out {
        0 => String::new(),
        count => {
            let many = if count == 1 { "" } else { "s" };
            format!("[… {count} {what}{many} left out: the limit is {most}, {bytes} …]\n")
        }
    };
    let (each, together) = (size(limits.image_bytes), size(limits.all_images_bytes));
    let bytes = format!("{each} each, {together} together");
    let pictures = line(finished.images_left_out, "picture", limits.images, &bytes);
    let bytes = format!("{} together", size(limits.files_bytes));
    let files = line(finished.files_left_out, "file", limits.files, &bytes);
    pictures + &files
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

/// Appends text on a new line.
fn append(to: &mut String, text: &str) {
    if !to.is_empty() && !to.ends_with('\n') && !text.is_empty() {
        to.push('\n');
    }
    to.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{CellLimits, ResourceUsage, RunResult, Tier};

    const LIMITS: CellLimits = CellLimits {
        images: 20,
        image_bytes: 10 << 20,
        all_images_bytes: 32 << 20,
        files: 100,
        files_bytes: 32 << 20,
        ..CellLimits::NOTHING
    };

    fn output(outcome: RunOutcome) -> RunOutput {
        RunOutput {
            finished: RunResult {
                outcome,
                usage: ResourceUsage::default(),
                cell_lost: false,
                images_left_out: 0,
                files_left_out: 0,
            },
            tier: Tier::Namespaced,
            limits: LIMITS,
            stdout: "before".into(),
            stdout_left_out: 0,
            stderr: "a warning\n".into(),
            stderr_left_out: 0,
            images: Vec::new(),
            files: Vec::new(),
            share: Default::default(),
        }
    }

    #[test]
    fn each_outcome_has_its_message() {
        let cases = [
            (RunOutcome::Raised { limit: None }, Outcome::Failed, ""),
            (RunOutcome::Exited { code: 3 }, Outcome::Failed, "Exited with code 3\n"),
            (
                RunOutcome::Signalled { signal: 11 },
                Outcome::Failed,
                "Crashed: segmentation fault (SIGSEGV)\n",
            ),
        ];
        for (verdict, outcome, last) in cases {
            let report = RunReport::new(&output(verdict.clone()));
            let result = format!("before\na warning\n{last}");
            assert_eq!((report.outcome, report.result), (outcome, result), "{verdict:?}");
            assert_eq!(report.stdout, "before");
        }
        let report = RunReport::new(&output(RunOutcome::Ok));
        assert_eq!((report.outcome, report.result.as_str()), (Outcome::Ok, "before"));
    }

    #[test]
    fn each_limit_has_its_message() {
        let cases = [
            (Limit::WallMs(30_000), "TimeoutError: stopped after 30 s (the limit of one run)"),
            (Limit::WallMs(500), "TimeoutError: stopped after 0.5 s (the limit of one run)"),
            (Limit::CpuMs(60_000), "TimeoutError: stopped, used more than 60 s of processor time"),
            (
                Limit::MemoryBytes(2 << 30),
                "MemoryError: stopped, used more than 2048 MiB of memory",
            ),
            (Limit::Locks(10_000), "OSError: stopped, used more than 10000 locks of files"),
            (Limit::Watches(20_000), "OSError: stopped, used more than 20000 epoll registrations"),
            (
                Limit::Mappings(400_000),
                "OSError: stopped, used more than 400000 mappings of memory",
            ),
            (Limit::SandboxMemory, "MemoryError: killed, the sandbox's memory was full"),
            (Limit::OutputBytes(10 << 20), "OutputError: stopped, wrote more than 10 MiB"),
            (
                Limit::CodeBytes(1 << 20),
                "CodeError: not run, the code is longer than 1048576 bytes",
            ),
        ];
        for (limit, words) in cases {
            let report = RunReport::new(&output(RunOutcome::Stopped { limit }));
            assert_eq!(report.stderr, format!("a warning\n{words}\n"));
        }
        let cases = [
            (Limit::MemoryBytes(2 << 30), "2048 MiB of memory"),
            (Limit::Processes(64), "64 processes"),
            (Limit::Threads(512), "512 threads"),
            (Limit::OpenFiles(256), "256 open files"),
            (Limit::DiskBytes(512 << 20), "512 MiB of files"),
            (Limit::DiskFiles(10_000), "10000 files and folders"),
        ];
        for (limit, words) in cases {
            let report = RunReport::new(&output(RunOutcome::Raised { limit: Some(limit) }));
            assert_eq!(report.stderr, format!("a warning\nThe limit is {words}\n"));
        }
    }

    #[test]
    fn dropped_pictures_and_files_are_reported_even_after_a_successful_run() {
        let mut output = output(RunOutcome::Ok);
        (output.finished.images_left_out, output.finished.files_left_out) = (10, 1);
        let lines = "[… 10 pictures left out: the limit is 20, 10 MiB each, 32 MiB together …]\n\
                     [… 1 file left out: the limit is 100, 32 MiB together …]\n";
        let report = RunReport::new(&output);
        assert_eq!(report.result, format!("before\n{lines}"));
        assert_eq!(report.stderr, format!("a warning\n{lines}"));
        assert_eq!(report.stdout, "before");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        let mut output = output(RunOutcome::Ok);
        output.stdout = b"\xff!".as_slice().into();
        assert_eq!(RunReport::new(&output).result, "\u{fffd}!");
    }
}
