//! How many cells there can be in a second, where as many clients as that ask without a pause.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use crate::client::{Ask, Client};
use crate::code::{Code, NUMPY, SCIENCE};
use crate::plan::Plan;
use crate::process::Server;
use crate::report::Table;
use crate::times::{Times, ms};

const WIDTHS: [usize; 3] = [1, 2, 8];
/// After which the pool has what it is to have.
const REST: Duration = Duration::from_secs(2);

pub async fn measure(plan: &Plan, server: &Server) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Throughput",
        "`/x/execute`, as many clients at once as said, each asking again as soon as it is \
         answered.",
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

/// Of those that are asked for within this time, how long each took, and all together.
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
