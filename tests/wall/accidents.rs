//! Accidents: whatever is killed, what runs gets a truthful answer, and the next request works.

use std::time::Duration;

use protocol::{Outcome, Reply, Request, Tier};
use rustix::process::{Pid, Signal, kill_process};
use server::sandbox::Sandbox;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::time::{interval, timeout};

use crate::harness::{Program, TestServer, Warden, below, direct};
use crate::{ran, run};

/// A zygote takes seconds to come up.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn kill(process: i32) {
    let pid = Pid::from_raw(process).expect("no process is 0");
    match kill_process(pid, Signal::KILL) {
        // Of a cell one process dies with the other.
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("{process} cannot be killed: {error}"),
    }
}

/// Whether it is gone, or nothing but an entry that waits: to be reaped, or as init for that.
fn has_ended(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.contains("(init)") || stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// The warden is the server's only child, and the zygote the eldest of the warden's.
fn warden_and_zygote(server: &Program) -> (i32, i32) {
    let processes = below(server.id());
    (processes[0], processes[1])
}

/// [K07]
#[tokio::test]
async fn a_warden_that_is_killed_is_started_again() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let (warden, _) = warden_and_zygote(&server);
    let mut stream = server.create_stream(direct("import time; time.sleep(3); print('on')")).await;
    stream.until("step.start").await;

    kill(warden);

    // The run was lost, and that is said; or it had not begun yet, and ran under the next warden.
    let rest = stream.rest().await;
    let told = rest.iter().find_map(|event| event.data["delta"]["result"].as_str());
    let failed = rest.iter().find_map(|event| event.data["error"]["code"].as_str());
    assert!(failed == Some("service_unavailable") || told == Some("on\n"), "{rest:?}");
    let next = timeout(BACK_WITHIN, run(&server, "print(1)")).await.expect("it is back by then");
    assert_eq!(next.ok(), "1\n");
}

#[tokio::test]
async fn a_zygote_that_is_killed_is_replaced_and_its_cells_live_on() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let (_, zygote) = warden_and_zygote(&server);
    let mut stream = server.create_stream(direct("import time; time.sleep(2); print('on')")).await;
    stream.until("step.start").await;

    kill(zygote);

    let rest = stream.rest().await;
    let told = rest.iter().find_map(|event| event.data["delta"]["result"].as_str());
    assert_eq!(told, Some("on\n"), "{rest:?}");
    for _ in 0..6 {
        let next =
            timeout(BACK_WITHIN, run(&server, "print(1)")).await.expect("it is back by then");
        assert_eq!(next.ok(), "1\n");
    }
}

/// [K07]
#[tokio::test]
async fn standbys_that_are_killed_are_noticed() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let (warden, zygote) = warden_and_zygote(&server);
    let standbys: Vec<_> =
        below(server.id()).into_iter().filter(|id| *id != warden && *id != zygote).collect();
    assert!(standbys.len() >= 2, "{standbys:?}");

    for standby in &standbys {
        kill(*standby);
    }
    // Killing takes the kernel a moment. Nobody sends an event about others' processes.
    let mut looks = interval(Duration::from_millis(5));
    // Of each cell's two, init waits for the other to be reaped, which is done by whoever notices.
    while !standbys.iter().all(|process| has_ended(*process)) {
        looks.tick().await;
    }

    let reply = server.create(direct("print(1)")).await;
    assert_eq!(ran(&reply).remove(0).ok(), "1\n");
}

/// Whoever asks meanwhile does not notice: the next one has imported everything before the old one
/// goes.
#[tokio::test]
async fn a_zygote_that_was_forked_often_enough_is_replaced_without_a_pause() {
    let warden = Warden::start(&["--kits", "science", "--zygote-forks", "8", "--standbys", "2"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
    let first = below(warden.id())[0];
    let mut forks = 0;
    while below(warden.id()).contains(&first) {
        assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
        forks += 1;
        assert!(forks < 5000, "it is still there");
    }
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// Processes that run code or wait for it: the kernel takes them first when memory is short.
fn standbys(warden: &Warden) -> Vec<i32> {
    let mut found = below(warden.id());
    found.retain(|process| {
        let score = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj"));
        score.is_ok_and(|score| score.trim() == "1000")
    });
    found
}

/// The kernel ends standbys first when memory is short, also between the time when one is taken and the
/// time when it has its code.
#[tokio::test]
async fn a_standby_that_dies_before_it_has_its_code_is_replaced() {
    let warden = Warden::start(&["--kits", "bare", "--standbys", "1"]);
    let sandbox = Sandbox::at(warden.socket(), Tier::Landlocked);
    sandbox.ready().await.expect("the warden comes up");
    let stream = UnixStream::connect(warden.socket()).await.expect("it listens");
    let (reader, writer) = stream.into_split();
    let (mut reader, mut writer) = (BufReader::new(reader), writer);
    let open = Request::Open { least: Tier::Landlocked, imports: Vec::new(), more: false };
    for (request, blob) in
        [(open, b"".as_slice()), (Request::PutFile { name: "a".into() }, b"content")]
    {
        protocol::write(&mut writer, &request, blob).await.expect("the warden is there");
        let answer = protocol::read(&mut reader).await.expect("the warden is there");
        assert!(matches!(answer, (Reply::Opened { .. } | Reply::FilePut, _)), "{answer:?}");
    }
    let dying = standbys(&warden);
    assert!(!dying.is_empty(), "there is a cell");
    dying.iter().for_each(|process| kill(*process));
    let mut look = interval(Duration::from_millis(1));
    while !dying.iter().all(|process| has_ended(*process)) {
        look.tick().await;
    }

    let run = Request::Run { wall_ms: None, files: false };
    let code = b"import os; print(open('a').read(), os.listdir())";
    protocol::write(&mut writer, &run, code).await.expect("the warden is there");
    let mut stdout = String::new();
    let finished = loop {
        let (reply, blob): (Reply, _) = protocol::read(&mut reader).await.expect("it answers");
        match reply {
            Reply::Stdout { .. } => stdout = String::from_utf8_lossy(&blob).into_owned(),
            Reply::Finished(finished) => break finished,
            Reply::Stderr { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((finished.outcome, stdout.as_str()), (Outcome::Ok, "content ['a']\n"));
    assert!(!finished.cell_lost);
}

/// It ends itself with its first code, which is the code's own doing.
#[tokio::test]
async fn code_that_kills_itself_is_not_run_again() {
    let server = TestServer::start("").await;
    let code = "import os, signal; os.write(1, b'once\\n'); os.close(3); os.kill(os.getpid(), signal.SIGKILL)";
    assert_eq!(run(&server, code).await.failed(), "once\nCrashed: killed (SIGKILL)\n");
}
