//! The number of cells per second, with several clients that send requests without a pause.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::client::{Ask, Client};
use crate::code::{Code, NUMPY, SCIENCE};
use crate::plan::Plan;
use crate::process::Server;
use crate::report::Table;
use crate::times::{Times, ms};

const WIDTHS: [usize; 3] = [1, 2, 8];
/// Pause in which the pool is refilled.
const REST: Duration = Duration::from_secs(2);

pub async fn measure(plan: &Plan, server: &Server) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Throughput",
        "`/x/execute`, with this number of concurrent clients, each of which sends its next \
         request as soon as it has its answer.",
        &["code", "clients", "cells", "cells/s", "p50 ms", "p99 ms"],
    );
    for (what, code) in [("`import numpy`", NUMPY), ("eight imports", SCIENCE)] {
        for width in WIDTHS {
            eprintln!("bench: throughput, {what}, {width} at once");
            tokio::time::sleep(REST).await;
            let (times, took) = crowd(server.client(), code, width, plan.throughput).await?;
            let rate = times.count() as f64 / took.as_secs_f64();
            table.row([
                what.to_owned(),
                width.to_string(),
                times.count().to_string(),
                format!("{rate:.0}"),
                ms(times.p50()),
                ms(times.p99()),
            ]);
        }
    }
    Ok(table)
}

/// Sends requests for this time. Returns the times of the requests, and the total time.
async fn crowd(
    client: &Client,
    code: Code,
    width: usize,
    time: Duration,
) -> anyhow::Result<(Times, Duration)> {
    let ask = Ask::execute(code);
    let began = Instant::now();
    let one = || async {
        let mut took = Vec::new();
        while began.elapsed() < time {
            took.push(client.time(&ask).await?);
        }
        anyhow::Ok(took)
    };
    let all = try_join_all((0..width).map(|_| one())).await?;
    Ok((Times::of(all.into_iter().flatten()), began.elapsed()))
}
