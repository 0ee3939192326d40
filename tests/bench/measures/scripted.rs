//! Concurrent scripted answers without code: the cost of the server itself.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::Place;
use crate::client::Keep;
use crate::load::{Load, Question};
use crate::measures::rest::until_at_rest;
use crate::peers::aimock::Aimock;
use crate::plan::Plan;
use crate::process::{Server, Warden};
use crate::report::{NotHere, Table};
use crate::times::{Times, ms};

const QUESTION: &str = "capital of France";
const ANSWER: &str = "The capital of France is Paris.";
/// Concurrent requests.
const WIDTH: usize = 32;
const PATH: &str = "/v1beta/interactions";
const ABOUT: &str = "One scenario, one text, 32 requests at a time, each on a connection of its own that is kept. \
    aimock is the npm package `@copilotkit/aimock` with the same answer; it stores nothing. They take turns, round by \
    round, and the client is the same: one thread, on the same processors. The ratio is the median of the rounds'.";

/// A server, and its measurements.
struct Subject<'a> {
    what: &'static str,
    url: &'a str,
    question: Question,
    times: Times,
    took: Duration,
    /// Requests per second, of each round.
    rates: Vec<f64>,
}

/// Measures scripted answers only, and prints the table.
pub async fn show(place: &Place, plan: &Plan) -> anyhow::Result<()> {
    let warden = Warden::start(place, &["--kits", "bare"]).await?;
    until_at_rest(&warden).await?;
    let table = measure(place, plan, &warden)?;
    Ok(std::io::stdout().write_all(table.to_string().as_bytes())?)
}

pub fn measure(place: &Place, plan: &Plan, warden: &Warden) -> anyhow::Result<Table> {
    let mut table = Table::new(
        "Scripted answers",
        ABOUT,
        &["what", "n", "requests/s", "by aimock's", "p50 ms", "p99 ms", "max ms"],
    );
    let folder = tempfile::tempdir()?;
    let scenario = json!({"name": "the capital", "when": {"input": {"contains": QUESTION}},
                          "script": [{"text": ANSWER}]});
    let file = json!({"scenarios": [scenario]}).to_string();
    std::fs::write(folder.path().join("capital.json"), file)?;
    let server = Server::with_scenarios(warden, folder.path())?;
    let aimock = Aimock::start(place, QUESTION, ANSWER)?;

    let ours = server.client().url();
    let mut subjects = vec![
        Subject::new("scripted text, `store: false`", ours, Keep::No)?,
        Subject::new("scripted text, stored", ours, Keep::Yes)?,
    ];
    if let Ok(aimock) = &aimock {
        subjects.push(Subject::new("the same text by aimock", aimock.url(), Keep::No)?);
    }
    // The first round is not counted: caches are cold, and Node has not compiled its code yet.
    for round in 0..=plan.rounds {
        eprintln!("bench: scripted answers, round {round}");
        for subject in &mut subjects {
            subject.ask(plan.scripted, round > 0)?;
        }
    }
    let theirs = subjects.get(2).map(|aimock| aimock.rates.clone());
    for subject in &subjects {
        table.row(subject.cells(theirs.as_deref()));
    }
    if let Err(NotHere(why)) = aimock {
        let cells = ["the same text by aimock", "–", &why, "", "", "", ""];
        table.row(cells.map(str::to_owned));
    }
    Ok(table)
}

impl<'a> Subject<'a> {
    fn new(what: &'static str, url: &'a str, keep: Keep) -> anyhow::Result<Subject<'a>> {
        let body = json!({
            "model": "gemini-3-flash-preview",
            "input": format!("What is the {QUESTION}?"),
            "stream": false, // the default, but not in aimock
            "store": matches!(keep, Keep::Yes),
        });
        let question = Question::post(url, PATH, &body.to_string(), ANSWER)?;
        let (times, rates) = (Times::new(), Vec::new());
        Ok(Subject { what, url, question, times, took: Duration::ZERO, rates })
    }

    fn ask(&mut self, count: usize, counts: bool) -> anyhow::Result<()> {
        // New connections in each round: an idle server may close them in between.
        let mut load = Load::open(self.url, WIDTH)?;
        let (times, took) = load.ask(&self.question, count)?;
        if counts {
            self.rates.push(times.count() as f64 / took.as_secs_f64());
            self.times.add(&times);
            self.took += took;
        }
        Ok(())
    }

    fn cells(&self, theirs: Option<&[f64]>) -> [String; 7] {
        let rate = self.times.count() as f64 / self.took.as_secs_f64();
        let ratio = theirs.map(|theirs| {
            let ratios = self.rates.iter().zip(theirs).map(|(ours, theirs)| ours / theirs);
            format!("{:.2}", median(ratios.collect()))
        });
        [
            self.what.to_owned(),
            self.times.count().to_string(),
            format!("{rate:.0}"),
            ratio.unwrap_or_else(|| "–".to_owned()),
            ms(self.times.p50()),
            ms(self.times.p99()),
            ms(self.times.max()),
        ]
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
