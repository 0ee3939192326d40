//! An unconfined interpreter.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::came::Came;
use harness::libraries;

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/snippets/outside.py");

/// The environment of a cell, as reported by the cell.
#[derive(Debug, Deserialize)]
pub struct World {
    pub variables: HashMap<String, String>,
    pub modules: Vec<String>,
    packages: String,
    prefix: String,
}

impl World {
    /// Code that prints the environment.
    pub const QUESTION: &str = "import json, os, pathlib, sys, numpy, pandas, matplotlib.pyplot\n\
        packages = pathlib.Path(numpy.__file__).parents[1]\n\
        print(json.dumps({'variables': dict(os.environ), 'modules': [*sys.modules],\n\
        \x20    'packages': str(packages), 'prefix': sys.base_prefix}))";

    pub fn from_answer(answer: &str) -> World {
        serde_json::from_str(answer).expect("a cell reports its environment")
    }

    /// Replaces paths in the text by their paths in a cell.
    fn renamed(&self, text: &str) -> String {
        let libraries = libraries();
        let [packages, python] = ["site-packages", "python"]
            .map(|name| libraries.join(name).canonicalize().expect("the libraries are complete"));
        let prefix = python.ancestors().nth(2).expect("it lies in the bin of its prefix");
        let name = |path: &Path| path.to_str().expect("the paths are text").to_owned();
        text.replace(&name(&packages), &self.packages).replace(&name(prefix), &self.prefix)
    }
}

/// Runs one script at a time, each in its own fork. Dropping it kills its script.
#[derive(Debug)]
pub struct Outside {
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
    /// Temporary files.
    _folder: tempfile::TempDir,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    LeftOut(String),
    Came(Came),
}

impl Outside {
    /// Starts an interpreter that imports these modules before any script.
    pub fn start(world: &World, modules: &[String]) -> Outside {
        let libraries = libraries();
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        // By its real path, because scripts can print it.
        let python = libraries.join("python").canonicalize().expect("the libraries are complete");
        let mut process = Command::new(python)
            .args(["-s", DRIVER])
            .args(modules)
            .env_clear()
            .envs(&world.variables)
            .env("PYTHONPATH", libraries.join("site-packages"))
            .envs(["HOME", "TMPDIR"].map(|name| (name, folder.path())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the interpreter is a program");
        let orders = process.stdin.take().expect("it is piped");
        let stdout = process.stdout.take().expect("it is piped");
        Outside {
            orders,
            answers: BufReader::new(stdout).lines(),
            _process: process,
            _folder: folder,
        }
    }

    /// The result of a script, or the reason why it is not compared.
    pub async fn run(&mut self, world: &World, code: &str) -> Result<Came, String> {
        let order = format!("{}\n", json!({"code": code}));
        self.orders.write_all(order.as_bytes()).await.expect("it reads");
        let line = self.answers.next_line().await.expect("it is text").expect("it answers");
        match serde_json::from_str(&line).expect("an answer has a known form") {
            Answer::LeftOut(why) => Err(why),
            Answer::Came(Came { stdout, failure }) => Ok(Came {
                stdout: world.renamed(&stdout),
                failure: failure.map(|line| world.renamed(&line)),
            }),
        }
    }
}
