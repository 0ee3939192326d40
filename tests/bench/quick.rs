//! Three ratios that do not depend much on the machine, compared with stored ones.
//!
//! The reference, measured in the same minute, is the start of an empty interpreter. Both have the same pauses: after
//! a pause the processor's caches are cold, which costs some machines twice as much as others.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::Place;
use crate::client::{Ask, PAUSE};
use crate::code::{Code, DESCRIBE, PRINT, SCIENCE};
use crate::measures::rest::until_at_rest;
use crate::process::{Server, Warden};
use crate::times::{Times, ms};

/// Factor by which a ratio may exceed the stored one. A cell needs a dozen wake-ups of processes and the reference
/// one, so the ratio depends on how fast the machine wakes a processor: it varied by a factor of 1.6 between virtual
/// machines of the same kind.
const WORSE: f64 = 2.0;
/// Rounds, of which the best counts: other load on the machine only makes a round slower.
const ROUNDS: usize = 3;
/// Rounds before a ratio counts as slower: on a shared machine, several minutes in a row may all be
/// slow.
const MOST_ROUNDS: usize = 12;
const COUNT: usize = 60;
const DISCARDED: usize = 10;
const STARTS: usize = 30;

const ROWS: [(&str, Code); 3] =
    [("print(1)", PRINT), ("print(1) below eight imports", SCIENCE), ("describe()", DESCRIBE)];

/// Each time as a multiple of the start of an empty interpreter.
type Ratios = BTreeMap<String, f64>;

/// Fails if a ratio is more than [`WORSE`] times the stored one.
pub async fn compare(place: &Place) -> anyhow::Result<()> {
    let path = path(place);
    let kept = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let kept: Ratios = serde_json::from_slice(&kept).context("could not read the stored ratios")?;
    for (name, _) in ROWS {
        ensure!(
            kept.contains_key(name),
            "no stored ratio for {name}: store the ratios with --quick --keep"
        );
    }
    let best = measure(place, MOST_ROUNDS, |best| worse(best, &kept).is_empty()).await?;
    for (name, now) in &best {
        eprintln!("bench: {name}: {now:.3}, stored {:.3}", kept[name]);
    }
    let worse = worse(&best, &kept);
    if !worse.is_empty() {
        bail!("more than {WORSE} times slower than before: {}", worse.join("; "));
    }
    Ok(())
}

/// Describes the ratios that exceed the stored ones too far.
fn worse(best: &Ratios, kept: &Ratios) -> Vec<String> {
    let too_slow = best.iter().filter(|(name, now)| **now > kept[*name] * WORSE);
    too_slow
        .map(|(name, now)| {
            format!(
                "a fresh {name} takes {now:.3} times as long as `python3 -S -c pass`, and took {:.3}",
                kept[name]
            )
        })
        .collect()
}

/// Measures the ratios and stores them.
pub async fn keep(place: &Place) -> anyhow::Result<()> {
    let ratios = measure(place, ROUNDS, |_| false).await?;
    let path = path(place);
    std::fs::write(&path, serde_json::to_string_pretty(&ratios)? + "\n")
        .with_context(|| format!("writing {}", path.display()))?;
    eprintln!("bench: kept in {}: {ratios:?}", path.display());
    Ok(())
}

fn path(place: &Place) -> std::path::PathBuf {
    place.root.join("tests/bench/ratios.json")
}

/// The best of several rounds. Stops early when `enough` holds.
async fn measure(
    place: &Place,
    most_rounds: usize,
    is_enough: impl Fn(&Ratios) -> bool,
) -> anyhow::Result<Ratios> {
    let warden = Warden::start(place, &["--kits", "science,bare"]).await?;
    let server = Server::over(&warden)?;
    until_at_rest(&warden).await?;
    let mut best = Ratios::new();
    for round in 1..=most_rounds {
        let mut beside = empty_interpreters(place).await?;
        for (name, code) in ROWS {
            let ask = Ask::execute(code);
            let ours = server.client().time_paced(&ask, COUNT, DISCARDED).await?.p50();
            // The reference is the mean of the measurements before and after.
            let after = empty_interpreters(place).await?;
            let theirs = (beside + after) / 2;
            beside = after;
            eprintln!("bench: {name}: {} ms beside {} ms", ms(ours), ms(theirs));
            let ratio = (ours.as_secs_f64() / theirs.as_secs_f64() * 1000.0).round() / 1000.0;
            let least = best.entry(name.to_owned()).or_insert(f64::INFINITY);
            *least = least.min(ratio);
        }
        if round >= ROUNDS && is_enough(&best) {
            break;
        }
    }
    Ok(best)
}

/// The median of several starts, with pauses between them.
async fn empty_interpreters(place: &Place) -> anyhow::Result<Duration> {
    let mut times = Times::new();
    for _ in 0..STARTS {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let done = Command::new(place.python())
            .args(["-S", "-c", "pass"])
            .stdin(Stdio::null())
            .status()?;
        ensure!(done.success(), "python3 ended with {done}");
        times.record(began.elapsed());
    }
    Ok(times.p50())
}
