//! System calls drawn from dice, from many cells: whoever is on the other side of the wall is
//! unharmed.
//!
//! Some seconds of it by default; `make fuzz` for an hour. A failure tells the seed, and
//! `FUZZ_SEED` draws the same calls again.

#[path = "../harness/mod.rs"]
mod harness;

use std::cell::RefCell;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use harness::{Client, ProcessGroup, Program, Warden};

/// How long, unless `FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 10;
/// Cells at a time, unless `FUZZ_CELLS` says otherwise.
const CELLS: u64 = 4;
/// After which a cell makes room for a fresh one.
const CELL_SECONDS: u64 = 5;
/// How often somebody else's code runs meanwhile.
const NEIGHBOUR_EVERY: Duration = Duration::from_millis(100);
/// Not zero once the kernel has complained of itself: of a bug, a warning, a processor that hung.
const TAINTED: &str = "/proc/sys/kernel/tainted";

#[tokio::test]
async fn calls_drawn_from_dice_harm_nobody_else() {
    let seconds = setting("FUZZ_SECONDS", SECONDS);
    let seed = setting("FUZZ_SEED", RandomState::new().hash_one(0)).to_string();
    let cells = setting("FUZZ_CELLS", CELLS);
    eprintln!("fuzz: FUZZ_SEED={seed}");
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let warden = Warden::start(ProcessGroup::ONE_ZYGOTE);
    let server = Program::start_on(data.path(), &warden.socket());
    let household = ProcessGroup::of(&server, &warden.socket());

    // Its connections are closed before anything is counted.
    let client = Client::new(server.url().to_owned());
    let allowed = execute(&client, include_str!("probe.py")).await;
    let allowed = allowed["stdout"].as_str().expect("an answer has it").trim_end();
    fuzz(&client, "warm-up", 1, cells, allowed).await; // what is opened at its first use stays
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
         came to their end; beside them {} runs of somebody else, the slowest in {} ms; {after:?}",
        neighbours.runs,
        neighbours.slowest.as_millis()
    );
    assert!(calls > 0, "no call was made");
    assert_eq!(after, before, "FUZZ_SEED={seed}");
    assert!(household.is_whole(), "somebody had to be replaced, FUZZ_SEED={seed}");
    assert_eq!(fs::read(TAINTED).ok(), tainted, "the kernel complains, FUZZ_SEED={seed}");
}

/// What was done to the wall.
#[derive(Debug, Default)]
struct Fuzzed {
    cells: u64,
    /// Those that lived on to their end. The others drew a call that ended them.
    survived: u64,
    calls: u64,
}

/// One cell after another, each with dice of its own, as many at a time as there are to be.
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

/// What others had of it.
#[derive(Debug, Default)]
struct Neighbours {
    runs: u64,
    slowest: Duration,
}

/// A fresh cell answers, again and again, and it is always the same household that makes it.
async fn neighbours(client: &Client, end: Instant, household: &ProcessGroup) -> Neighbours {
    let mut neighbours = Neighbours::default();
    let mut paced = tokio::time::interval(NEIGHBOUR_EVERY);
    paced.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < end {
        paced.tick().await;
        let began = Instant::now();
        let answer = execute(client, "print(1)").await;
        assert_eq!((&answer["outcome"], &answer["stdout"]), (&json!("ok"), &json!("1\n")));
        assert!(household.is_whole(), "somebody had to be replaced");
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
        number.parse().unwrap_or_else(|_| panic!("{name} is a number, and not {number:?}"))
    })
}
