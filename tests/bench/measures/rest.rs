//! Waits until the processes below a warden are idle.
//!
//! A zygote runs typical code in the background when no cell has been requested for a while, and the cells that it
//! makes afterwards are faster. Measurements before that are not representative.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::process::Warden;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Idle samples in sequence. They take several times as long as a zygote's pause.
const IDLE: u32 = 4;
const RESTS_WITHIN: Duration = Duration::from_secs(120);

/// Waits until all processes below a warden are idle.
pub async fn until_at_rest(warden: &Warden) -> anyhow::Result<()> {
    let deadline = Instant::now() + RESTS_WITHIN;
    let (mut last, mut idle) = (BTreeMap::new(), 0);
    while idle < IDLE {
        ensure!(Instant::now() < deadline, "a warden does not come to rest");
        tokio::time::sleep(LOOK_EVERY).await;
        let now: BTreeMap<u32, Work> =
            below(warden.id())?.into_iter().filter_map(|one| Some((one, Work::of(one)?))).collect();
        let works = now.values().any(|work| work.is_running);
        idle = if now == last && !works { idle + 1 } else { 0 };
        last = now;
    }
    Ok(())
}

/// All descendants of a process.
pub fn below(root: u32) -> anyhow::Result<Vec<u32>> {
    let (mut found, mut at) = (vec![root], 0);
    while let Some(&parent) = found.get(at) {
        found.extend(children(parent)?);
        at += 1;
    }
    found.remove(0);
    Ok(found)
}

fn children(parent: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    // A process that has ended has no children.
    let Ok(threads) = std::fs::read_dir(format!("/proc/{parent}/task")) else { return Ok(found) };
    // Each thread has its own list of children.
    for thread in threads.flatten() {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for number in list.split_ascii_whitespace() {
            found.push(number.parse()?);
        }
    }
    Ok(found)
}

/// Processor time of a process so far.
#[derive(Debug, PartialEq, Eq)]
struct Work {
    /// In clock ticks of a hundredth of a second.
    processor: u64,
    is_running: bool,
}

impl Work {
    fn of(process: u32) -> Option<Work> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The process name before it may contain spaces.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let is_running = matches!(*fields.first()?, "R" | "D");
        Some(Work { processor: ticks(11)? + ticks(12)?, is_running })
    }
}
