//! Kills the server at random moments under load, and checks after each restart that everything that was
//! acknowledged is present, and nothing is incomplete.
//!
//! `CRASHES=200` sets the number of crashes, `CRASH_SEED=7` the seed of their times and requests.

mod load;
mod look;

use std::sync::Arc;
use std::time::Duration;

use harness::Program;
use load::{Acknowledged, SeededRng};
use parking_lot::Mutex;

/// Default number of crashes: enough to find a regression every time.
const CRASHES: u64 = 15;
/// Number of concurrent clients.
const CLIENTS: u64 = 6;
/// Maximum time before a crash.
const LIFE_MS: u64 = 700;

const SCENARIOS: &str = r#"
scenarios:
  - name: long
    script:
      - pace: 4ms
      - thought: I compute it in two steps, the first of which leaves something behind.
      - code: |
          from PIL import Image
          Image.new('RGB', (2, 2)).save('dot.png')
          x = 6
      - text: "That went well, and so we go on to the second step."
      - code: print(x * 7)
      - text: "It is {{ stdout | trim }}, and that took a while to say in so many words."
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_data_survives_and_no_data_is_incomplete() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("it is a number"))
    };
    let crashes = number("CRASHES", CRASHES);
    let seed = number("CRASH_SEED", u64::from(std::process::id()));
    eprintln!("{crashes} crashes with CRASH_SEED={seed}");

    let folder = || tempfile::tempdir().expect("there is a place for temporary files");
    let (data, scenarios) = (folder(), folder());
    std::fs::write(scenarios.path().join("crash.yaml"), SCENARIOS).expect("the folder is ours");
    let scenarios = scenarios.path().to_str().expect("a temporary path is text");
    let start = || Program::start(data.path(), &["--scenarios", scenarios]);

    let mut rng = SeededRng::new(seed);
    let mut before = Acknowledged::default();
    let mut server = start();
    for crash in 0..crashes {
        let now = Arc::new(Mutex::new(Acknowledged::default()));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (client, now) = ((*server).clone(), Arc::clone(&now));
                tokio::spawn(load::ask(client, SeededRng::new(rng.next()), now))
            })
            .collect();
        // No event to wait for: the moment has to be random.
        tokio::time::sleep(Duration::from_millis(rng.below(LIFE_MS))).await;
        server.kill();
        for client in clients {
            client.await.expect("a client found an error");
        }

        server = start();
        let now = std::mem::take(&mut *now.lock());
        look::after(&server, &now).await;
        before.add(now);
        look::after(&server, &before.some_of(&mut rng)).await;
        eprintln!("crash {}: {}", crash + 1, before.count());
    }
    look::after(&server, &before).await;
}
