//! Bursts of concurrent requests that exhaust the pool of standbys.

use std::time::Duration;

use futures_util::future::try_join_all;

use crate::Place;
use crate::client::Ask;
use crate::code::{Code, PRINT, SCIENCE};
use crate::measures::rest::until_at_rest;
use crate::plan::Plan;
use crate::process::{Server, Warden};
use crate::report::Table;
use crate::times::{Times, ms};

const SIZES: [usize; 2] = [50, 200];
/// One standby of each kit, and no memory for more.
const EMPTY: [&str; 6] = ["--standbys", "1", "--standby-mib", "1", "--kits", "science,bare"];
/// Pause after which a burst no longer affects the next one.
const REST: Duration = Duration::from_secs(2);

pub async fn measure(place: &Place, plan: &Plan) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Bursts",
        "`/x/execute`, all at the same moment on connections of their own, with one standby. At most \
         64 work at a time, the others wait. None is refused.",
        &["code", "at once", "n", "p50 ms", "p99 ms", "max ms"],
    );
    let warden = Warden::start(place, &EMPTY).await?;
    let server = Server::over(&warden)?;
    until_at_rest(&warden).await?;
    for (what, code) in [("`print(1)`", PRINT), ("eight imports", SCIENCE)] {
        for size in SIZES {
            eprintln!("bench: {size} at once, {what}");
            let times = bursts(&server, code, size, plan.bursts).await?;
            table.row([
                what.to_owned(),
                size.to_string(),
                times.count().to_string(),
                ms(times.p50()),
                ms(times.p99()),
                ms(times.max()),
            ]);
        }
    }
    Ok(table)
}

async fn bursts(server: &Server, code: Code, size: usize, count: usize) -> anyhow::Result<Times> {
    let ask = Ask::execute(code);
    let mut times = Times::new();
    for _ in 0..count {
        tokio::time::sleep(REST).await;
        let all = try_join_all((0..size).map(|_| server.client().time(&ask))).await?;
        all.into_iter().for_each(|took| times.record(took));
    }
    Ok(times)
}
