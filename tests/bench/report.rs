//! Tables, in Markdown.

use std::fmt;

use crate::times::{Times, ms};

#[derive(Debug)]
pub struct Table {
    title: String,
    about: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Measured times, or why there are none.
#[derive(Debug)]
pub struct Latency {
    pub what: String,
    pub whose: Whose,
    pub times: Result<Times, NotHere>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    Ours,
    Theirs,
}

/// Why a peer could not be measured on this machine.
#[derive(Debug)]
pub struct NotHere(pub String);

impl Table {
    pub fn new(title: &str, about: &str, columns: &[&'static str]) -> Table {
        Table {
            title: title.to_owned(),
            about: about.to_owned(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }

    pub fn of_latencies(title: &str, about: &str, latencies: &[Latency]) -> Table {
        let mut table = Table::new(title, about, &["what", "n", "p50 ms", "p99 ms", "max ms"]);
        for latency in latencies {
            let what = latency.what.clone();
            table.row(match &latency.times {
                Ok(times) => [
                    what,
                    times.count().to_string(),
                    ms(times.p50()),
                    ms(times.p99()),
                    ms(times.max()),
                ],
                Err(NotHere(why)) => {
                    [what, "–".to_owned(), why.clone(), String::new(), String::new()]
                }
            });
        }
        table
    }
}

impl Latency {
    pub fn ours(what: &str, times: Times) -> Latency {
        Latency { what: what.to_owned(), whose: Whose::Ours, times: Ok(times) }
    }

    pub fn theirs(what: &str, times: Result<Times, NotHere>) -> Latency {
        Latency { what: what.to_owned(), whose: Whose::Theirs, times }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n", self.title)?;
        if !self.about.is_empty() {
            writeln!(f, "{}\n", self.about)?;
        }
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}
