//! Two hundred interactions leave nothing behind.

use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tokio::time::interval;

use crate::ran;
use harness::{ProcessGroup, Program, Warden, below, direct};

/// There are no events for other processes, so the process table is polled.
const LOOK_EVERY: Duration = Duration::from_millis(20);

const CODE: &str = "import os, subprocess, tempfile\n\
    tempfile.mkstemp(); open('x', 'w').write('y')\n\
    subprocess.Popen(['sleep', '1000'])\n\
    if os.fork() == 0: os.setsid(); import time; time.sleep(1000)\n\
    print(1)";

/// [D07] [D09] [F05] [K07]
#[tokio::test]
async fn two_hundred_interactions_leave_nothing_behind() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let warden = Warden::start(ProcessGroup::ONE_ZYGOTE);
    let server = Program::start_on(data.path(), &warden.socket());
    let household = ProcessGroup::of(&server, &warden.socket());
    // The first ones open what stays: connections, and the pool of the store.
    four_at_once(&server, CODE).await;
    let before = household.settled(None).await;

    for _ in 0..50 {
        four_at_once(&server, CODE).await;
    }

    let after = household.settled(Some(&before)).await;
    assert_eq!(after, before);
    assert!(household.is_whole(), "a process was replaced");
}

#[tokio::test]
async fn a_server_that_shuts_down_leaves_nothing_behind() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let scratch = tempfile::tempdir().expect("there is a place for temporary files");
    let mut server = Program::start_whole_in(data.path(), scratch.path());
    four_at_once(&server, CODE).await;
    let processes = below(server.id());
    server.terminate();
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
