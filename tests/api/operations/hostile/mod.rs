//! Small requests and answers that are expensive to serve.

mod matching;
mod memory;
mod schemas;
mod templates;

use std::fs;
use std::ops::Deref;

use harness::{Client, Program};
use serde_json::Value;

use super::bounds::while_healthy;

/// A server of its own, whose memory and processes can be seen.
struct Subject {
    server: Program,
    _data: tempfile::TempDir,
}

impl Subject {
    fn start(scenarios: &Value) -> Subject {
        let data = tempfile::tempdir().expect("the temporary folder can be created");
        let folder = data.path().join("scenarios");
        fs::create_dir(&folder).expect("the folder is the test's");
        fs::write(folder.join("test.yaml"), scenarios.to_string()).expect("the disk has space");
        let folder = folder.to_str().expect("it is text");
        let server = Program::start(&data.path().join("data"), &["--scenarios", folder]);
        Subject { server, _data: data }
    }

    /// Checks the peak of its memory, and that no process that it started is left.
    fn is_whole(&self, max_peak_kib: u64) {
        assert_eq!(children(self.server.id()), Vec::<String>::new());
        let peak = peak_kib(self.server.id());
        assert!(peak < max_peak_kib, "{peak} KiB");
    }
}

impl Deref for Subject {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.server
    }
}

/// Processes that the server has started.
fn children(server: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{server}/task")).expect("it runs");
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
    let children = tasks.flatten().filter_map(|task| of_task(task).ok());
    children.flat_map(|ids| ids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn peak_kib(server: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{server}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}
