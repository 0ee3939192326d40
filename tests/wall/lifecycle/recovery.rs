//! Recovery: when a process is killed, its client gets a correct error, and the next request works.

use std::time::Duration;

use protocol::{RunOutcome, Tier, WardenReply, WardenRequest};
use rustix::process::{Pid, Signal, kill_process};
use sandbox_client::Sandbox;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::time::{interval, timeout};

use crate::{ran, run};
use harness::{Program, TestServer, Warden, below, direct};

/// Starting a zygote takes seconds.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn kill(process: i32) {
    let pid = Pid::from_raw(process).expect("no process is 0");
    match kill_process(pid, Signal::KILL) {
        // When one of a cell's two processes dies, the other dies too.
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("{process} cannot be killed: {error}"),
    }
}

/// Whether the process is gone, or a zombie: waiting to be reaped, or an init waiting for that.
fn has_ended(process: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.contains("(init)") || stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// The warden is the server's only child, and the zygote is the warden's oldest.
fn warden_and_zygote(server: &Program) -> (i32, i32) {
    let processes = below(server.id());
    (processes[0], processes[1])
}

/// [K07]
#[tokio::test]
async fn a_killed_warden_is_restarted() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let (warden, _) = warden_and_zygote(&server);
    let mut stream = server.create_stream(direct("import time; time.sleep(3); print('on')")).await;
    stream.until("step.start").await;

    kill(warden);

    // Either the run was lost, and the error reports that; or it had not begun, and the next warden ran it.
    let rest = stream.rest().await;
    let output = rest.iter().find_map(|event| event.data["delta"]["result"].as_str());
    let failed = rest.iter().find_map(|event| event.data["error"]["code"].as_str());
    assert!(failed == Some("service_unavailable") || output == Some("on\n"), "{rest:?}");
    let next = timeout(BACK_WITHIN, run(&server, "print(1)"))
        .await
        .expect("the warden is restarted in time");
    assert_eq!(next.ok(), "1\n");
}

#[tokio::test]
async fn a_killed_zygote_is_replaced_and_its_cells_keep_running() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let (_, zygote) = warden_and_zygote(&server);
    let mut stream = server.create_stream(direct("import time; time.sleep(2); print('on')")).await;
    stream.until("step.start").await;

    kill(zygote);

    let rest = stream.rest().await;
    let output = rest.iter().find_map(|event| event.data["delta"]["result"].as_str());
    assert_eq!(output, Some("on\n"), "{rest:?}");
    for _ in 0..6 {
        let next = timeout(BACK_WITHIN, run(&server, "print(1)"))
            .await
            .expect("the zygote is replaced in time");
        assert_eq!(next.ok(), "1\n");
    }
}

/// [K07]
#[tokio::test]
async fn killed_standbys_are_replaced() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let (warden, zygote) = warden_and_zygote(&server);
    let standbys: Vec<_> =
        below(server.id()).into_iter().filter(|id| *id != warden && *id != zygote).collect();
    assert!(standbys.len() >= 2, "{standbys:?}");

    for standby in &standbys {
        kill(*standby);
    }
    // Killing takes the kernel a moment. There is no event for the end of another process's child.
    let mut looks = interval(Duration::from_millis(5));
    // Of each cell's two processes, init stays until the warden has reaped the other.
    while !standbys.iter().all(|process| has_ended(*process)) {
        looks.tick().await;
    }

    let reply = server.create(direct("print(1)")).await;
    assert_eq!(ran(&reply).remove(0).ok(), "1\n");
}

/// Requests are not delayed: the next zygote has imported everything before the old one exits.
#[tokio::test]
async fn a_zygote_is_replaced_after_many_forks_without_interruption() {
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

/// Processes that run code or wait for it: the OOM killer selects them first.
fn standbys(warden: &Warden) -> Vec<i32> {
    let mut found = below(warden.id());
    found.retain(|process| {
        let score = std::fs::read_to_string(format!("/proc/{process}/oom_score_adj"));
        score.is_ok_and(|score| score.trim() == "1000")
    });
    found
}

/// When memory is short, the OOM killer selects standbys first, also between assignment to a client and
/// the arrival of the code.
#[tokio::test]
async fn a_standby_that_dies_before_it_has_its_code_is_replaced() {
    let warden = Warden::start(&["--kits", "bare", "--standbys", "1"]);
    let sandbox = Sandbox::at(warden.socket(), Tier::Landlocked);
    sandbox.ready().await.expect("the warden comes up");
    let stream = UnixStream::connect(warden.socket()).await.expect("it listens");
    let (reader, writer) = stream.into_split();
    let (mut reader, mut writer) = (BufReader::new(reader), writer);
    let open = WardenRequest::Open {
        least: Tier::Landlocked,
        imports: Vec::new(),
        more: false,
        keep: false,
    };
    for (request, blob) in
        [(open, b"".as_slice()), (WardenRequest::PutFile { name: "a".into() }, b"content")]
    {
        protocol::write(&mut writer, &request, blob).await.expect("the warden is there");
        let answer = protocol::read(&mut reader).await.expect("the warden is there");
        assert!(
            matches!(answer, (WardenReply::Opened { .. } | WardenReply::FilePut, _)),
            "{answer:?}"
        );
    }
    let dying = standbys(&warden);
    assert!(!dying.is_empty(), "there is a cell");
    dying.iter().for_each(|process| kill(*process));
    let mut look = interval(Duration::from_millis(1));
    while !dying.iter().all(|process| has_ended(*process)) {
        look.tick().await;
    }

    let run = WardenRequest::Run { wall_ms: None, files: false, live: false };
    let code = b"import os; print(open('a').read(), os.listdir())";
    protocol::write(&mut writer, &run, code).await.expect("the warden is there");
    let mut stdout = String::new();
    let finished = loop {
        let (reply, blob): (WardenReply, _) =
            protocol::read(&mut reader).await.expect("it answers");
        match reply {
            WardenReply::Stdout { .. } => stdout = String::from_utf8_lossy(&blob).into_owned(),
            WardenReply::Finished(finished) => break finished,
            WardenReply::Stderr { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((finished.outcome, stdout.as_str()), (RunOutcome::Ok, "content ['a']\n"));
    assert!(!finished.cell_lost);
}

/// It kills itself with its first code, so the code is the cause.
#[tokio::test]
async fn code_that_kills_itself_is_not_run_again() {
    let server = TestServer::start("").await;
    let code = "import os, signal; os.write(1, b'once\\n'); os.close(3); os.kill(os.getpid(), signal.SIGKILL)";
    assert_eq!(run(&server, code).await.failed(), "once\nCrashed: killed (SIGKILL)\n");
}
