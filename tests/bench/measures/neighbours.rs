//! The latency of a fresh `print(1)` while another cell attacks the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::client::{Ask, Client};
use crate::code::PRINT;
use crate::plan::Plan;
use crate::process::Server;
use crate::report::Table;
use crate::times::{Times, ms};

/// Code of the other cell, and the limits that show that the attack worked.
struct Attack {
    what: &'static str,
    code: &'static str,
    /// Time limit of one run. The attack is repeated until the measurement ends, which waits for the last run.
    seconds: u32,
    ends_by: &'static [&'static str],
}

const ATTACKS: [Attack; 3] = [
    Attack {
        what: "a fork bomb",
        code: "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
        seconds: 3,
        ends_by: &["wall_ms", "cpu_ms"],
    },
    Attack {
        what: "a memory bomb",
        code: "held = []\nwhile True: held.append(bytearray(b'x') * (16 << 20))",
        seconds: 20, // for two gigabytes, on a busy machine
        ends_by: &["memory_bytes"],
    },
    Attack {
        what: "a flood of output",
        code: "while True: print('x' * 100_000)",
        seconds: 10,
        ends_by: &["output_bytes"],
    },
];

pub async fn measure(plan: &Plan, server: &Server) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Neighbours",
        "Fresh `print(1)` by `/x/execute` while one other cell does this, again and again.",
        &["beside", "attacks", "n", "p50 ms", "p99 ms", "max ms", "p99 by alone"],
    );
    let ask = Ask::execute(PRINT);
    let client = server.client();
    eprintln!("bench: neighbours, alone");
    let alone = client.time_paced(&ask, plan.fast, plan.discarded).await?;
    table.row(cells("nothing", "–".to_owned(), &alone, &alone));
    for attack in ATTACKS {
        eprintln!("bench: neighbours, beside {}", attack.what);
        let what = attack.what;
        let attacker = Attacker::start(client, attack);
        let times = client.time_paced(&ask, plan.fast, plan.discarded).await?;
        let attacks = attacker.stop().with_context(|| format!("{what} failed"))?;
        table.row(cells(what, attacks.to_string(), &times, &alone));
    }
    Ok(table)
}

fn cells(what: &str, attacks: String, times: &Times, alone: &Times) -> [String; 7] {
    let ratio = times.p99().as_secs_f64() / alone.p99().as_secs_f64();
    [
        what.to_owned(),
        attacks,
        times.count().to_string(),
        ms(times.p50()),
        ms(times.p99()),
        ms(times.max()),
        format!("{ratio:.1}"),
    ]
}

/// Runs the attacks on a separate thread, so that reading their output does not delay the measurement.
struct Attacker {
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
    over: Arc<AtomicBool>,
    attacks: Arc<AtomicUsize>,
}

impl Attacker {
    fn start(client: &Client, attack: Attack) -> Attacker {
        let over = Arc::new(AtomicBool::new(false));
        let attacks = Arc::new(AtomicUsize::new(0));
        let url = client.url().to_owned();
        let thread = std::thread::spawn({
            let (over, attacks) = (Arc::clone(&over), Arc::clone(&attacks));
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let client = Client::new(url)?;
                while !over.load(Ordering::Relaxed) {
                    runtime.block_on(attack.launch(&client))?;
                    attacks.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        });
        Attacker { thread, over, attacks }
    }

    /// Waits for the last attack to end, and returns their number.
    fn stop(self) -> anyhow::Result<usize> {
        self.over.store(true, Ordering::Relaxed);
        let Ok(ended) = self.thread.join() else { anyhow::bail!("the attacker panicked") };
        ended?;
        Ok(self.attacks.load(Ordering::Relaxed))
    }
}

impl Attack {
    async fn launch(&self, client: &Client) -> anyhow::Result<()> {
        let request = json!({"code": self.code, "timeout_s": self.seconds});
        let answer: Value = client.execute(&request).await?;
        let limit = answer["limit"]["name"].as_str().unwrap_or_default();
        ensure!(self.ends_by.contains(&limit), "unexpected end of an attack: {answer:.1000}");
        Ok(())
    }
}
