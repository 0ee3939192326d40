//! The peers, each as its user would run it, in the same run.

pub mod aimock;
mod containers;
mod environment;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::Place;
use crate::code::{Code, DESCRIBE, IMPORTS, PLOT, PRINT, SCIENCE};
use crate::plan::Plan;
use crate::report::{Latency, NotHere};
use crate::times::Times;
use environment::Environment;

/// The peers' rows, and the plot that ours is compared with.
#[derive(Debug)]
pub struct Peers {
    pub rows: Vec<Latency>,
    /// A plot in a process that has already drawn many.
    pub plot: Times,
}

/// A task of a script, with its number of repetitions.
#[derive(Debug, Clone, Copy)]
struct Task {
    name: &'static str,
    code: Code,
    count: usize,
    discarded: usize,
}

type Results = BTreeMap<String, Times>;

pub fn measure(place: &Place, plan: &Plan) -> anyhow::Result<Peers> {
    let scratch = tempfile::tempdir()?;
    let mut rows = Vec::new();

    eprintln!("bench: a long-lived process");
    let tasks = tasks(plan);
    let mut alone = Command::new(place.python());
    alone.arg("-c").arg(include_str!("long_lived.py"));
    let mut results = script(place, alone, &tasks, scratch.path())?;
    let plot = results.get("plot").context("it has drawn")?.clone();
    for (name, what) in NAMES {
        let times = results.remove(name).context("each task has a result")?;
        rows.push(Latency::theirs(&format!("{what} in one long-lived process"), Ok(times)));
    }

    eprintln!("bench: a warm Jupyter kernel");
    let lock = include_str!("jupyter.lock");
    let mut results = match Environment::of_python(place, "jupyter", lock)? {
        Ok(environment) => {
            let mut kernel = environment.python();
            kernel.arg("-c").arg(include_str!("jupyter.py"));
            Ok(script(place, kernel, &tasks, scratch.path())?)
        }
        Err(why) => Err(why),
    };
    for (name, what) in NAMES {
        let times = match &mut results {
            Ok(results) => Ok(results.remove(name).context("each task has a result")?),
            Err(NotHere(why)) => Err(NotHere(why.clone())),
        };
        rows.push(Latency::theirs(&format!("{what} in a warm Jupyter kernel"), times));
    }

    eprintln!("bench: cold interpreters");
    let python = || {
        let mut python = Command::new(place.python());
        python.args(["-c", SCIENCE.text]);
        python
    };
    let cold = repeat(place, plan.cold, python)?;
    rows.push(Latency::theirs("`python3 -c` with eight imports and `print(1)`", Ok(cold)));
    let jailed = if is_installed("bwrap") {
        Ok(repeat(place, plan.cold, || {
            let mut bwrap = Command::new("bwrap");
            bwrap
                .args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"])
                .args(["--tmpfs", "/tmp", "--unshare-all", "--die-with-parent"])
                // Without a cache folder, Matplotlib scans all fonts at each start.
                .arg("--bind")
                .arg(scratch.path())
                .args(["/tmp/matplotlib", "--setenv", "MPLCONFIGDIR", "/tmp/matplotlib"])
                .arg(place.python())
                .args(["-c", SCIENCE.text]);
            bwrap
        })?)
    } else {
        Err(NotHere("not installed".to_owned()))
    };
    rows.push(Latency::theirs("the same in `bwrap --unshare-all`", jailed));

    eprintln!("bench: containers");
    rows.extend(containers::measure(place, plan)?);
    Ok(Peers { rows, plot })
}

const NAMES: [(&str, &str); 3] =
    [("print", "`print(1)`"), ("describe", "`DataFrame.describe()`"), ("plot", "plot as PNG")];

fn tasks(plan: &Plan) -> [Task; 3] {
    let task = |name, code, count| Task { name, code, count, discarded: plan.discarded };
    [
        task("print", PRINT, plan.fast),
        task("describe", DESCRIBE, plan.fast),
        task("plot", PLOT, plan.slow),
    ]
}

/// Runs all tasks with a script of this folder, and returns the times of each.
fn script(
    place: &Place,
    mut command: Command,
    tasks: &[Task],
    work: &Path,
) -> anyhow::Result<Results> {
    let tasks: Vec<_> = tasks
        .iter()
        .map(|task| {
            json!({
                "name": task.name,
                "code": task.code.text,
                "count": task.count,
                "discarded": task.discarded,
            })
        })
        .collect();
    let input = json!({
        "imports": IMPORTS,
        "site_packages": place.site_packages(),
        "tasks": tasks,
    });
    let mut child = command
        .current_dir(work)
        .env("MPLBACKEND", "Agg")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    child.stdin.take().context("it is piped")?.write_all(input.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "a peer failed; its output is above");
    let results: BTreeMap<String, Vec<f64>> =
        serde_json::from_slice(&output.stdout).context("a peer's results are not JSON")?;
    let times = |seconds: Vec<f64>| Times::of(seconds.into_iter().map(Duration::from_secs_f64));
    Ok(results.into_iter().map(|(name, seconds)| (name, times(seconds))).collect())
}

/// Starts a program repeatedly, and waits for its end. It has to print 1.
fn repeat(place: &Place, count: usize, make: impl Fn() -> Command) -> anyhow::Result<Times> {
    let mut times = Times::new();
    for at in 0..=count {
        let mut command = make();
        command.env("PYTHONPATH", place.site_packages()).env("MPLBACKEND", "Agg");
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        let took = began.elapsed();
        ensure!(output.stdout == b"1\n", "{command:?} ended with {}", output.status);
        // The first one reads from the disk.
        if at > 0 {
            times.record(took);
        }
    }
    Ok(times)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
