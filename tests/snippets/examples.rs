//! The snippets, one after another, always in the same order.

use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use harness::libraries;

const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/snippets/extract.py");

#[derive(Debug, Deserialize)]
pub struct Snippet {
    /// File and line of the example.
    pub name: String,
    pub code: String,
}

/// Reads snippets on demand.
#[derive(Debug)]
pub struct Examples {
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Examples {
    pub fn start() -> Examples {
        let libraries = libraries();
        let mut process = Command::new(libraries.join("python"))
            .arg(EXTRACT)
            .arg(libraries.join("site-packages"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter is a program");
        let stdout = process.stdout.take().expect("it is piped");
        Examples { lines: BufReader::new(stdout).lines(), _process: process }
    }

    pub async fn next(&mut self) -> Option<Snippet> {
        let line = self.lines.next_line().await.expect("it is text")?;
        Some(serde_json::from_str(&line).expect("a line is a snippet"))
    }
}
