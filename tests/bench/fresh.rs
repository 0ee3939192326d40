//! How long a fresh, jailed Python takes to answer, beside a cold one with the same imports.
//!
//! `make bench`. Everything is measured in one run on one machine; the figures mean little, their
//! ratio something.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

const REQUESTS: usize = 500;
/// Slow enough for the pool to be full again: this is about latency, not about throughput.
const EVERY: Duration = Duration::from_millis(25);
const COLD_STARTS: usize = 7;
/// What the zygote has imported, in the words of a script.
const IMPORTS: &str = "import numpy, pandas, matplotlib.pyplot, scipy.stats, scipy.optimize, \
                       scipy.ndimage, sklearn.linear_model, sklearn.ensemble, sympy, cv2, seaborn, \
                       PIL.Image, PIL.ImageDraw";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let libraries = PathBuf::from(
        std::env::var_os("BELLJAR_LIBRARIES")
            .context("BELLJAR_LIBRARIES is not set: `make bench`")?,
    );
    let rows = [
        ("fresh `print(1)` over HTTP", fresh("print(1)").await?),
        ("fresh `DataFrame.describe()` over HTTP", fresh(DESCRIBE).await?),
        ("`python3 -c` with the same imports", cold(&libraries)?),
    ];
    let mut table = String::from("| what | n | p50 ms | p99 ms |\n|---|---|---|---|\n");
    for (what, times) in rows {
        let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        table += &format!("| {what} | {} | {:.2} | {:.2} |\n", times.len(), ms(0.5), ms(0.99));
    }
    std::io::Write::write_all(&mut std::io::stdout(), table.as_bytes())?;
    Ok(())
}

const DESCRIBE: &str = "import pandas as pd\nprint(pd.DataFrame({'a': range(9)}).describe())";

/// One request after another, each in a cell of its own, in microseconds.
async fn fresh(code: &str) -> anyhow::Result<Histogram<u64>> {
    let server = Server::start()?;
    let client = reqwest::Client::new();
    let body = json!({
        "model": "direct",
        "input": code,
        "tools": [{"type": "code_execution"}],
        "store": false,
    });
    let mut times = Histogram::new(3)?;
    // The first ones find caches cold that no later one does.
    let mut paced = tokio::time::interval(EVERY);
    paced.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for request in 0..REQUESTS + 10 {
        paced.tick().await;
        let began = Instant::now();
        let reply =
            client.post(format!("{}/v1beta/interactions", server.url)).json(&body).send().await?;
        let reply: Value = reply.json().await?;
        let took = began.elapsed();
        ensure!(reply["steps"][1]["is_error"] == false, "a run failed: {reply}");
        if request >= 10 {
            times.record(u64::try_from(took.as_micros())?)?;
        }
    }
    Ok(times)
}

/// An ordinary interpreter, neither jailed nor warm.
fn cold(libraries: &std::path::Path) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    for _ in 0..COLD_STARTS {
        let began = Instant::now();
        let done = Command::new(libraries.join("python"))
            .args(["-c", &format!("{IMPORTS}\nprint(1)")])
            .env("PYTHONPATH", libraries.join("site-packages"))
            .stdout(Stdio::null())
            .status()?;
        ensure!(done.success(), "python3 failed");
        times.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    Ok(times)
}

struct Server {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_belljar"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().context("it was asked for")?;
        let line = BufReader::new(stdout).lines().next().context("the server said nothing")??;
        let url =
            line.strip_prefix("belljar listening on ").context("not the words of a server")?;
        Ok(Server { process, url: url.to_owned(), _folder: folder })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.process.wait().ok();
    }
}
