//! The whole bench in one run, written to BENCH.md.

use std::io::Write as _;

use anyhow::Context;

use crate::Place;
use crate::measures::{burst, fresh, memory, neighbours, rest, scripted, start, throughput};
use crate::plan::Plan;
use crate::process::{Server, Warden};
use crate::report::{Latency, Table};
use crate::{machine, peers, picture};

const ABOUT_OURS: &str = "The whole wall, the release build, HTTP over loopback on one connection that is \
    kept, each request 50 ms after the last answer, so that there is always a standby; the first ones are not counted. \
    Each has a cell of its own that has run no other code. From the request to the last byte of the answer, the \
    client's own work included.";
const ABOUT_OTHERS: &str = "The same code on the same machine in the same run, with the same libraries \
    unless stated. The long-lived process and the kernel are neither fresh nor jailed.";

pub async fn measure(place: &Place, plan: &Plan) -> anyhow::Result<()> {
    let command = if plan.is_whole { "make bench" } else { "make bench, and little of it" };
    // Before files are written, which would change the commit's state.
    let machine = machine::describe(&place.root, command);
    let (ours, throughput, scripted, neighbours) = {
        let warden = Warden::start(place, &[]).await?;
        let server = Server::over(&warden)?;
        start::until_tensorflow(server.client()).await?;
        rest::until_at_rest(&warden).await?;
        let ours = fresh::measure(plan, &warden, &server).await?;
        let throughput = throughput::measure(plan, &server).await?;
        let scripted = scripted::measure(place, plan, &warden)?;
        (ours, throughput, scripted, neighbours::measure(plan, &server).await?)
    };
    let burst = burst::measure(place, plan).await?;
    let memory = memory::measure(place).await?;
    let start = start::measure(place, plan).await?;
    let others = peers::measure(place, plan)?;

    let ratio = ours.plot.p50().as_secs_f64() / others.plot.p50().as_secs_f64();
    let about_ours = format!(
        "{ABOUT_OURS} The plot takes {ratio:.2} times as long as in a process that has drawn many before."
    );
    let tables = [
        machine,
        Table::of_latencies("A fresh cell", &about_ours, &ours.rows),
        Table::of_latencies("What others do", ABOUT_OTHERS, &others.rows),
        throughput,
        scripted,
        burst,
        neighbours,
        memory,
        start,
    ];
    let text = tables.iter().map(Table::to_string).collect::<Vec<_>>().join("\n");
    std::io::stdout().write_all(text.as_bytes())?;

    let latencies: Vec<Latency> = ours.rows.into_iter().chain(others.rows).collect();
    let folder = if plan.is_whole { place.root.clone() } else { std::env::temp_dir() };
    let warden = Warden::start(place, &["--kits", "science"]).await?;
    let server = Server::over(&warden)?;
    picture::draw(server.client(), &latencies, &folder.join("BENCH.svg")).await?;
    let file = folder.join("BENCH.md");
    std::fs::write(&file, format!("# Speed\n\n![medians](BENCH.svg)\n\n{text}"))
        .with_context(|| format!("writing {}", file.display()))?;
    eprintln!("bench: written to {}", file.display());
    Ok(())
}
