//! Makes random system calls in many cells: processes outside the cells are unaffected.
//!
//! Some seconds by default; `make fuzz` for an hour. A failure reports the seed, and `FUZZ_SEED` repeats
//! the same calls.

use std::cell::RefCell;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use harness::{Client, ProcessGroup, Program, Warden};

/// Duration, unless `FUZZ_SECONDS` is set.
const SECONDS: u64 = 10;
/// Concurrent cells, unless `FUZZ_CELLS` is set.
const CELLS: u64 = 4;
/// Time after which a cell is replaced by a new one.
const CELL_SECONDS: u64 = 5;
/// Interval of the ordinary runs beside the fuzzed cells.
const NEIGHBOUR_EVERY: Duration = Duration::from_millis(100);
/// Not zero after a kernel bug, warning or lockup.
const TAINTED: &str = "/proc/sys/kernel/tainted";

#[tokio::test]
async fn random_calls_harm_no_other_run() {
    let seconds = setting("FUZZ_SECONDS", SECONDS);
    let seed = setting("FUZZ_SEED", RandomState::new().hash_one(0)).to_string();
    let cells = setting("FUZZ_CELLS", CELLS);
    eprintln!("fuzz: FUZZ_SEED={seed}");
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let warden = Warden::start(ProcessGroup::ONE_ZYGOTE);
    let server = Program::start_on(data.path(), &warden.socket());
    let household = ProcessGroup::of(&server, &warden.socket());

    // The connections of this client are closed before resources are counted.
    let client = Client::new(server.url().to_owned());
    let allowed = execute(&client, include_str!("probe.py")).await;
    let allowed = allowed["stdout"].as_str().expect("an answer has it").trim_end();
    fuzz(&client, "warm-up", 1, cells, allowed).await; // resources opened on first use stay open
    drop(client);
    let (before, tainted) = (household.settled(None).await, fs::read(TAINTED).ok());
    let client = Client::new(server.url().to_owned());
    let end = Instant::now() + Duration::from_secs(seconds);
    let (fuzzed, neighbours) = tokio::join!(
        fuzz(&client, &seed, seconds, cells, allowed),
        neighbours(&client, end, &household)
    );
    drop(client);
    let after = household.settled(Some(&before)).await;

    let Fuzzed { cells, survived, calls } = fuzzed;
    eprintln!(
        "fuzz: FUZZ_SEED={seed}, {seconds} s: {calls} calls from {cells} cells, of which {survived} \
         completed; beside them {} ordinary runs, the slowest in {} ms; {after:?}",
        neighbours.runs,
        neighbours.slowest.as_millis()
    );
    assert!(calls > 0, "no call was made");
    assert_eq!(after, before, "FUZZ_SEED={seed}");
    assert!(household.is_whole(), "a process was replaced, FUZZ_SEED={seed}");
    assert_eq!(fs::read(TAINTED).ok(), tainted, "the kernel is tainted, FUZZ_SEED={seed}");
}

/// Counts of the fuzzed cells.
#[derive(Debug, Default)]
struct Fuzzed {
    cells: u64,
    /// Cells that completed. The others made a call that ended them.
    survived: u64,
    calls: u64,
}

/// Runs one cell after another, each with its own seed, with this many at a time.
async fn fuzz(client: &Client, seed: &str, seconds: u64, cells: u64, allowed: &str) -> Fuzzed {
    let end = Instant::now() + Duration::from_secs(seconds);
    let fuzzed = RefCell::new(Fuzzed::default());
    join_all((0..cells).map(async |_| {
        while Instant::now() < end {
            fuzzed.borrow_mut().cells += 1;
            let cell = fuzzed.borrow().cells;
            let rest_s = (end - Instant::now()).as_secs_f64().min(CELL_SECONDS as f64);
            let code = format!(
                "SEED = '{seed} {cell}'\nALLOWED = {allowed}\nSECONDS = {rest_s}\n{}",
                include_str!("fuzz.py")
            );
            let answer = execute(client, &code).await;
            let lines = answer["stdout"].as_str().unwrap_or_default().lines();
            let mut fuzzed = fuzzed.borrow_mut();
            fuzzed.calls += lines.filter_map(|line| line.parse::<u64>().ok()).sum::<u64>();
            fuzzed.survived += u64::from(answer["outcome"] == "ok");
        }
    }))
    .await;
    fuzzed.into_inner()
}

/// Results of the ordinary runs.
#[derive(Debug, Default)]
struct Neighbours {
    runs: u64,
    slowest: Duration,
}

/// Runs ordinary code repeatedly in new cells, and checks that no process of the server is replaced.
async fn neighbours(client: &Client, end: Instant, household: &ProcessGroup) -> Neighbours {
    let mut neighbours = Neighbours::default();
    let mut paced = tokio::time::interval(NEIGHBOUR_EVERY);
    paced.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < end {
        paced.tick().await;
        let began = Instant::now();
        let answer = execute(client, "print(1)").await;
        assert_eq!((&answer["outcome"], &answer["stdout"]), (&json!("ok"), &json!("1\n")));
        assert!(household.is_whole(), "a process was replaced");
        neighbours.runs += 1;
        neighbours.slowest = neighbours.slowest.max(began.elapsed());
    }
    neighbours
}

async fn execute(client: &Client, code: &str) -> Value {
    let reply = client.post("/x/execute", &json!({"code": code, "timeout_s": 20})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |number| {
        number.parse().unwrap_or_else(|_| panic!("invalid {name}: {number:?} is not a number"))
    })
}
