//! Sequential requests, each in a cell of its own.

use std::time::{Duration, Instant};

use anyhow::ensure;
use protocol::RunOutcome;
use sandbox_client::{Expected, Sandbox};

use crate::client::{Ask, Client, Keep, PAUSE};
use crate::code::{Code, DESCRIBE, Does, MATMUL, PLOT, PRINT, SCIENCE};
use crate::plan::Plan;
use crate::process::{Server, Warden};
use crate::report::Latency;
use crate::times::Times;

/// The pool has one standby with TensorFlow, which takes longer to replace.
const TENSORFLOW_PAUSE: Duration = Duration::from_millis(500);

/// The rows of the table, and the plot for the summary.
#[derive(Debug)]
pub struct Fresh {
    pub rows: Vec<Latency>,
    pub plot: Times,
}

/// Measures with all kits ready, TensorFlow included.
pub async fn measure(plan: &Plan, warden: &Warden, server: &Server) -> anyhow::Result<Fresh> {
    let client = server.client();
    let sandbox = warden.sandbox();
    let fast = |ask: Ask| async move { client.time_paced(&ask, plan.fast, plan.discarded).await };
    let mut rows = Vec::new();
    let mut add = |what: &str, times: Times| rows.push(Latency::ours(what, times));

    add("nothing: `GET /healthz`", client.time_health(plan.fast, plan.discarded).await?);
    for (what, code) in
        [("fresh `print(1)`", PRINT), ("fresh `print(1)` below eight imports", SCIENCE)]
    {
        eprintln!("bench: {what}");
        let (yes, no) = (Ask::interaction(code, Keep::Yes), Ask::interaction(code, Keep::No));
        add(&format!("{what}, `/v1beta/interactions`, stored"), fast(yes).await?);
        add(&format!("{what}, `/v1beta/interactions`"), fast(no).await?);
        add(&format!("{what}, `/x/execute`"), fast(Ask::execute(code)).await?);
        add(&format!("{what}, the warden's socket"), at_the_socket(plan, &sandbox, code).await?);
    }
    eprintln!("bench: describe, plot, matmul");
    add("fresh `DataFrame.describe()`, `/x/execute`", fast(Ask::execute(DESCRIBE)).await?);
    let plot = client.time_paced(&Ask::execute(PLOT), plan.slow, plan.discarded).await?;
    add("fresh plot as PNG, `/x/execute`", plot.clone());
    add("fresh TensorFlow matmul, `/x/execute`", matmul(plan, client).await?);
    Ok(Fresh { rows, plot })
}

/// Measures the warden alone, without HTTP and the server.
async fn at_the_socket(plan: &Plan, sandbox: &Sandbox, code: Code) -> anyhow::Result<Times> {
    let mut times = Times::new();
    for at in 0..plan.discarded + plan.fast {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let mut cell = sandbox.open(Expected::Only(code.text), []).await?;
        let output = cell.run(code.text).await?;
        let took = began.elapsed();
        let Does::Print(expected) = code.does else {
            unreachable!("only code that prints is measured here")
        };
        let did = output.finished.outcome == RunOutcome::Ok && output.stdout == expected.as_bytes();
        ensure!(did, "unexpected result of a run: {output:?}");
        if at >= plan.discarded {
            times.record(took);
        }
    }
    Ok(times)
}

async fn matmul(plan: &Plan, client: &Client) -> anyhow::Result<Times> {
    let ask = Ask::execute(MATMUL);
    let mut times = Times::new();
    for at in 0..=plan.slow / 3 {
        tokio::time::sleep(TENSORFLOW_PAUSE).await;
        let took = client.time(&ask).await?;
        if at > 0 {
            times.record(took);
        }
    }
    Ok(times)
}
