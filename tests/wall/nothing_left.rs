//! Two hundred interactions, and nothing is left of them.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tokio::time::interval;

use crate::harness::{Program, below, direct};
use crate::ran;

/// The process table of others sends no events; it has to be looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What could pile up.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    /// Processes below the server: warden, zygote and standbys among them.
    processes: usize,
    server_files: usize,
    warden_files: usize,
    /// That show outside, in this folder.
    mounts: usize,
    /// Entries of the folder in which server and warden put what does not last.
    temporary: usize,
}

#[tokio::test]
async fn two_hundred_interactions_leave_nothing_behind() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let scratch = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole_in(data.path(), scratch.path());
    let code = "import os, subprocess, tempfile\n\
        tempfile.mkstemp(); open('x', 'w').write('y')\n\
        subprocess.Popen(['sleep', '1000'])\n\
        if os.fork() == 0: os.setsid(); import time; time.sleep(1000)\n\
        print(1)";
    // The first ones open what stays: connections, and the pool of the store.
    four_at_once(&server, code).await;
    let before = settled(&server, scratch.path(), None).await;

    for _ in 0..50 {
        four_at_once(&server, code).await;
    }

    let after = settled(&server, scratch.path(), Some(&before)).await;
    assert_eq!(after, before);
    let processes = below(server.id());
    server.terminate();
    let mut server = server;
    assert!(server.wait().success(), "it ends well");
    for process in processes {
        let pid = Pid::from_raw(process).expect("no process is 0");
        until(|| test_kill_process(pid).is_err()).await;
    }
    let left: Vec<_> = std::fs::read_dir(scratch.path()).expect("it is ours").collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn four_at_once(server: &Program, code: &str) {
    let request = || server.create(direct(code));
    let (a, b, c, d) = tokio::join!(request(), request(), request(), request());
    for reply in [a, b, c, d] {
        assert_eq!(ran(&reply).remove(0).ok(), "1\n");
    }
}

/// Counts until the numbers are those that are expected, or have had their time: what has been
/// killed is cleared away a moment after the reply.
async fn settled(server: &Program, scratch: &Path, expected: Option<&Count>) -> Count {
    let mut last = count(server.id(), scratch);
    let mut same = 0;
    let mut looks = interval(LOOK_EVERY);
    for _ in 0..600 {
        looks.tick().await;
        let now = count(server.id(), scratch);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if expected.map_or(same == 25, |expected| last == *expected) {
            break;
        }
    }
    last
}

async fn until(mut done: impl FnMut() -> bool) {
    let mut looks = interval(LOOK_EVERY);
    for _ in 0..500 {
        looks.tick().await;
        if done() {
            return;
        }
    }
    panic!("it did not come to that");
}

fn count(server: u32, scratch: &Path) -> Count {
    let processes = below(server);
    let warden = *processes.first().expect("the warden is the server's child");
    let folder = scratch.to_str().expect("a temporary path is text");
    let files = |process: i32| entries(&format!("/proc/{process}/fd"));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("it is ours");
    Count {
        processes: processes.len(),
        server_files: files(i32::try_from(server).expect("Linux has smaller numbers")),
        warden_files: files(warden),
        mounts: mounts.lines().filter(|line| line.contains(folder)).count(),
        temporary: entries(folder),
    }
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}
