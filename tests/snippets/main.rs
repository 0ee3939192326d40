//! Checks that ordinary code has the same results in a cell as elsewhere.
//!
//! The code is from the examples in the documentation of Python and its libraries (`extract.py`). It runs
//! in a cell and in an unconfined interpreter (`outside.py`), and its output and end must be the same,
//! except for intended differences (`meant.rs`).
//!
//! A sample by default; `make snippets` for 10 000.

mod came;
mod examples;
mod meant;
mod outside;
mod tally;

use serde_json::json;
use tokio::sync::Mutex;

use came::Came;
use examples::{Examples, Snippet};
use harness::{TestServer, Warden};
use outside::{Outside, World};
use tally::{Tally, Verdict};

/// Number of snippets compared, unless `SNIPPETS` is set.
const SAMPLE: usize = 500;
/// Interpreters without preloaded modules and with other hash seeds, which must confirm a difference.
const WITNESSES: usize = 12;

#[tokio::test]
async fn ordinary_code_does_the_same_inside_as_outside() {
    let wanted = std::env::var("SNIPPETS")
        .map_or(SAMPLE, |number| number.parse().expect("SNIPPETS is a number"));
    let warden = Warden::start(&["--wall-ms", "30000"]);
    let bench = Bench::start(TestServer::builder().sandbox(&warden.socket()).start().await).await;

    let examples = Mutex::new(Examples::start());
    let tally = Mutex::new(Tally::default());
    let lane = async |own, other| {
        while tally.lock().await.compared() < wanted {
            let Some(snippet) = examples.lock().await.next().await else { break };
            let verdict = bench.compare(&snippet, own, other).await;
            tally.lock().await.add(&snippet, verdict);
        }
    };
    let (a, b) = (Mutex::new(bench.outside().await), Mutex::new(bench.outside().await));
    tokio::join!(lane(&a, &b), lane(&b, &a));

    let tally = tally.into_inner();
    eprintln!("{tally}");
    assert!(tally.compared() >= wanted, "there are no more examples");
    assert_eq!(tally.differing(), 0);
}

/// Runs snippets inside and outside a cell.
struct Bench {
    server: TestServer,
    world: World,
}

impl Bench {
    async fn start(server: TestServer) -> Bench {
        let answer = inside(&server, World::QUESTION).await.stdout;
        Bench { server, world: World::from_answer(&answer) }
    }

    async fn outside(&self) -> Outside {
        Outside::start(&self.world, &self.world.modules)
    }

    /// Runs a snippet inside and outside, and repeatedly outside if the results differ: code without a
    /// deterministic result there is not compared.
    async fn compare(
        &self,
        snippet: &Snippet,
        own: &Mutex<Outside>,
        other: &Mutex<Outside>,
    ) -> Verdict {
        let outside = match own.lock().await.run(&self.world, &snippet.code).await {
            Ok(came) if came.is_nothing() => return Verdict::LeftOut("fails at once".into()),
            Ok(came) => came,
            Err(why) => return Verdict::LeftOut(why),
        };
        let inside = inside(&self.server, &snippet.code).await;
        if inside == outside {
            return Verdict::Same { failed: outside.failure.is_some() };
        }
        let meant = meant::to_differ(&snippet.code).filter(|_| !inside.is_forbidden());
        if let Some(reason) = meant {
            return Verdict::Meant(reason);
        }
        if other.lock().await.run(&self.world, &snippet.code).await.as_ref() != Ok(&outside) {
            return Verdict::LeftOut("not deterministic".into());
        }
        for _ in 0..WITNESSES {
            let mut witness = Outside::start(&self.world, &[]);
            if witness.run(&self.world, &snippet.code).await.as_ref() != Ok(&outside) {
                return Verdict::LeftOut("not deterministic".into());
            }
        }
        Verdict::Differs { inside, outside }
    }
}

async fn inside(server: &TestServer, code: &str) -> Came {
    let reply = server.post("/x/execute", &json!({"code": code})).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    Came::in_a_cell(&reply.body)
}
