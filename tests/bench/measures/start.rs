//! The time from the start of the program to the first code.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use crate::Place;
use crate::client::Client;
use crate::plan::Plan;
use crate::process::Server;
use crate::report::Table;
use crate::times::{Times, seconds};

const TENSORFLOW_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Seems to need TensorFlow, so it gets an interpreter with TensorFlow as soon as there is one. Before that, it costs
/// little.
const HAS_TENSORFLOW: &str = "import sys\n\
                              print('tensorflow' in sys.modules)\n\
                              if False:\n    import tensorflow";

pub async fn measure(place: &Place, plan: &Plan) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Start",
        "`belljar serve` with a warden of its own, from its start.",
        &["until", "n", "median s", "max s"],
    );
    let (mut ready, mut tensorflow) = (Times::new(), Times::new());
    for _ in 0..plan.starts {
        eprintln!("bench: start");
        let began = Instant::now();
        let server = Server::whole(place)?;
        ready.record(server.took());
        until_tensorflow(server.client()).await?;
        tensorflow.record(began.elapsed());
    }
    for (what, times) in [
        ("the line that it is ready", ready),
        ("`import tensorflow` finds it imported", tensorflow),
    ] {
        let (median, max) = (seconds(times.p50()), seconds(times.max()));
        table.row([what.to_owned(), times.count().to_string(), median, max]);
    }
    Ok(table)
}

/// Waits until all kits of a server are ready.
pub async fn until_tensorflow(client: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + TENSORFLOW_WITHIN;
    loop {
        let answer: Value = client.execute(&json!({"code": HAS_TENSORFLOW})).await?;
        ensure!(answer["outcome"] == "ok", "a run failed: {answer}");
        if answer["stdout"] == "True\n" {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "TensorFlow's interpreter is not ready in time");
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
    }
}
