//! aimock, the npm package that imitates many models, Gemini's interactions among them, and stores nothing.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use super::environment::Environment;
use crate::Place;
use crate::report::NotHere;

/// A process that is ready. It ends with its standard input, which is closed when this is dropped.
#[derive(Debug)]
pub struct Aimock {
    process: Child,
    url: String,
}

impl Aimock {
    /// Starts aimock with this answer to any input that contains the question.
    pub fn start(
        place: &Place,
        question: &str,
        answer: &str,
    ) -> anyhow::Result<Result<Aimock, NotHere>> {
        let package = include_str!("package.json");
        let lock = include_str!("package-lock.json");
        let environment = match Environment::of_node(place, "aimock", package, lock)? {
            Ok(environment) => environment,
            Err(why) => return Ok(Err(why)),
        };
        let mut process = Command::new("node")
            .args(["--input-type=module", "-e", include_str!("serve.mjs"), question, answer])
            .current_dir(environment.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting node")?;
        let mut url = String::new();
        let stdout = process.stdout.take().context("it is piped")?;
        BufReader::new(stdout).read_line(&mut url)?;
        Ok(Ok(Aimock { process, url: url.trim_end().to_owned() }))
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Aimock {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // A drop cannot return an error.
        let _ = self.process.wait();
    }
}
