//! The memory of one more standby.

use anyhow::{Context, ensure};
use protocol::RunOutcome;
use sandbox_client::Expected;

use crate::Place;
use crate::code::SCIENCE;
use crate::measures::rest::{below, until_at_rest};
use crate::process::Warden;
use crate::report::Table;

const FEW: u64 = 2;
const MANY: u64 = 12;
/// Memory of all processes below a warden.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    processes: u64,
    /// Shared memory counts once.
    memory_bytes: u64,
    /// Page tables, in kernel memory.
    tables_bytes: u64,
}

pub async fn measure(place: &Place) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Memory",
        &format!(
            "One more standby that has imported what a data scientist's script begins with: the \
             difference between {FEW} and {MANY} of them, in all processes below the warden, what they \
             share counted once (Pss), with their page tables (VmPTE)."
        ),
        &["standby", "MiB", "of which page tables"],
    );
    for (what, more) in [("its hot pages its own", &[][..]), ("`--no-prewarm`", &["--no-prewarm"])]
    {
        eprintln!("bench: memory, {what}");
        let few = settled(place, FEW, more).await?;
        let many = settled(place, MANY, more).await?;
        let cells = MANY - FEW;
        ensure!(
            many.processes > few.processes && (many.processes - few.processes) % cells == 0,
            "{cells} more standbys are {} processes instead of {}",
            many.processes,
            few.processes,
        );
        let mib = |many: u64, few: u64| (many as f64 - few as f64) / (cells << 20) as f64;
        let tables = mib(many.tables_bytes, few.tables_bytes);
        let memory = mib(many.memory_bytes, few.memory_bytes);
        table.row([what.to_owned(), format!("{:.1}", memory + tables), format!("{tables:.1}")]);
    }
    Ok(table)
}

/// Measures with this number of standbys, all of them forked after the zygote's background work.
async fn settled(place: &Place, standbys: u64, more: &[&str]) -> anyhow::Result<Usage> {
    let count = standbys.to_string();
    let arguments = ["--kits", "science", "--standby-mib", "1", "--standbys", &count];
    let warden = Warden::start(place, &[&arguments[..], more].concat()).await?;
    until_at_rest(&warden).await?;
    let sandbox = warden.sandbox();
    for _ in 0..standbys {
        let mut cell = sandbox.open(Expected::Only(SCIENCE.text), []).await?;
        let output = cell.run(SCIENCE.text).await?;
        ensure!(output.finished.outcome == RunOutcome::Ok, "a run failed: {output:?}");
    }
    until_at_rest(&warden).await?;
    Usage::of(&warden)
}

impl Usage {
    fn of(warden: &Warden) -> anyhow::Result<Usage> {
        let mut all = Usage::default();
        for process in below(warden.id())? {
            let (memory, tables) = memory(process)?;
            all.processes += 1;
            all.memory_bytes += memory;
            all.tables_bytes += tables;
        }
        Ok(all)
    }
}

/// A process's memory and its page tables, in bytes.
fn memory(process: u32) -> anyhow::Result<(u64, u64)> {
    let of = |file: &str, name: &str| {
        let path = format!("/proc/{process}/{file}");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("reading {path}, which only a cell's owner may read: measure as root")
        })?;
        field(&text, name).with_context(|| format!("{path} has no {name}"))
    };
    Ok((of("smaps_rollup", "Pss:")?, of("status", "VmPTE:")?))
}

/// `Pss:  42544 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(rest.split_ascii_whitespace().next()?.parse::<u64>().ok()? << 10)
}
