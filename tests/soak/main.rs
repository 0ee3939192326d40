//! Runs hostile and ordinary code concurrently for a while: every response belongs to its own run, and
//! resource usage returns to its initial level.
//!
//! Some seconds by default; `make soak` for two minutes.

mod kinds;
mod tally;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use harness::{Client, ProcessGroup, Program, Warden};
use kinds::{End, KINDS};
use tally::Tally;

/// Duration, unless `SOAK_SECONDS` is set.
const SECONDS: u64 = 10;
/// The warden's limit on concurrent cells.
const AT_A_TIME: usize = 64;
/// Time after which an impatient client disconnects.
const PATIENCE: Duration = Duration::from_millis(300);
/// Allowed memory growth of server, warden and zygote. Allocators keep it, most of it after runs that
/// created thousands of files; further rounds add less and less.
const GROWTH_KIB: [u64; 3] = [32 << 10, 64 << 10, 4 << 10];

#[tokio::test]
async fn resource_usage_is_unchanged_after_a_soak() {
    let seconds = std::env::var("SOAK_SECONDS")
        .map_or(SECONDS, |number| number.parse().expect("SOAK_SECONDS is a number"));
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let warden = Warden::start(ProcessGroup::ONE_ZYGOTE);
    let server = Program::start_on(data.path(), &warden.socket());
    let household = ProcessGroup::of(&server, &warden.socket());

    // Every kind at least once, for resources that are opened on first use and stay open.
    soak(server.url(), Duration::ZERO).await;
    let before = household.settled(None).await;
    household.at_rest().await;
    let memory_before = household.memory_kib();
    let tally = soak(server.url(), Duration::from_secs(seconds)).await;
    let after = household.settled(Some(&before)).await;
    let memory_after = household.memory_kib();

    eprintln!(
        "soak: {seconds} s, {AT_A_TIME} at a time: {tally}; {after:?}; \
         KiB of server, warden, zygote: {memory_before:?} before, {memory_after:?} after"
    );
    tally.assert_without_fault();
    for kind in KINDS {
        assert!(tally.runs_of(kind.name) > 0, "no run of: {}", kind.name);
    }
    assert_eq!(after, before);
    assert!(household.is_whole(), "a process was replaced");
    for ((after, before), growth) in memory_after.iter().zip(memory_before).zip(GROWTH_KIB) {
        assert!(*after < before + growth, "{memory_before:?} KiB became {memory_after:?}");
    }
}

/// Keeps all cells busy until the time is over, with at least two runs of each kind.
async fn soak(url: &str, time: Duration) -> Tally {
    let end = Instant::now() + time;
    let (next, tally) = (Cell::new(0), RefCell::new(Tally::default()));
    let client = Client::new(url.to_owned());
    join_all((0..AT_A_TIME).map(async |_| {
        while Instant::now() < end || next.get() < 2 * KINDS.len() as u64 {
            let nonce = next.replace(next.get() + 1);
            one(&client, nonce, &tally).await;
        }
    }))
    .await;
    tally.into_inner()
}

async fn one(client: &Client, nonce: u64, tally: &RefCell<Tally>) {
    let kind = &KINDS[nonce as usize % KINDS.len()];
    let request = kind.request(nonce);
    let answer = client.post("/x/execute", &request);
    if kind.end == End::Left {
        drop(tokio::time::timeout(PATIENCE, answer).await);
        return tally.borrow_mut().ran(kind.name, None);
    }
    let answer = answer.await;
    match answer.status {
        200 => tally.borrow_mut().ran(kind.name, kind.fault(nonce, &answer.body)),
        429 => tally.borrow_mut().refused(),
        status => {
            let fault = format!("{} {nonce}: status {status}: {}", kind.name, answer.body);
            tally.borrow_mut().ran(kind.name, Some(fault));
        }
    }
}
