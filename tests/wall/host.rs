//! Cells as seen in the machine's process table: their attributes, and that they are gone.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::interval;

use crate::{alive, is_namespaced, python};
use harness::{Program, below};

/// There are no events for the start and end of other processes' children.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Time limit for an expected change.
const SOON: Duration = Duration::from_secs(90);

/// Code that starts processes with this name, of each kind that could outlive the run.
fn family(name: &str) -> String {
    python(&format!(
        r"
        import ctypes, os, signal, subprocess, threading, time
        ctypes.CDLL(None).prctl(15, b'{name}')  # PR_SET_NAME
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0: time.sleep(1000)
                os._exit(0)
        if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)
        if os.fork() == 0:
            while True: pass
        threading.Thread(target=time.sleep, args=[1000]).start()
        print('before', flush=True)
        "
    ))
}

/// Processes of the machine with this name, without zombies.
pub(crate) fn named(name: &str) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("it is there").flatten();
    let mut found: Vec<i32> =
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    found.retain(|process| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.contains(&format!("({name})")) && !stat.contains(") Z ")
    });
    found
}

/// Polls until the condition holds.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let (began, mut looks) = (Instant::now(), interval(LOOK_EVERY));
    while !done() {
        assert!(began.elapsed() < SOON, "timed out: {what}");
        looks.tick().await;
    }
}

async fn whole() -> (Program, tempfile::TempDir) {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    (Program::start_whole(data.path(), &[]), data)
}

/// [D19] [D07] [D09] [F09]
#[tokio::test]
async fn half_a_second_after_the_deadline_no_process_is_left() {
    let (server, _data) = whole().await;
    let name = "battery-late";
    let request = json!({"code": family(name) + "while True: pass", "timeout_s": 1});
    let seen = async {
        until("six processes", || named(name).len() >= 6).await;
    };
    let (reply, ()) = tokio::join!(server.post("/x/execute", &request), seen);
    let over = Instant::now();
    assert_eq!(reply.body["outcome"], "deadline_exceeded", "{}", reply.body);
    until("all are gone", || named(name).is_empty()).await;
    assert!(over.elapsed() < Duration::from_millis(500), "it took {:?}", over.elapsed());
    alive(&server).await;
}

/// [D07] [F05] The code ends normally, and leaves its children running.
#[tokio::test]
async fn half_a_second_after_a_run_none_of_its_processes_is_left() {
    let (server, _data) = whole().await;
    let name = "battery-left";
    let request = json!({"code": family(name) + "time.sleep(1); os._exit(0)"});
    let seen = async { until("six processes", || named(name).len() >= 6).await };
    let (reply, ()) = tokio::join!(server.post("/x/execute", &request), seen);
    let over = Instant::now();
    assert_eq!(reply.body["stdout"], "before\n");
    until("all are gone", || named(name).is_empty()).await;
    assert!(over.elapsed() < Duration::from_millis(500), "it took {:?}", over.elapsed());
}

/// [D17]
#[tokio::test]
async fn one_second_after_the_client_disconnects_no_process_is_left() {
    let (server, _data) = whole().await;
    let name = "battery-alone";
    let request = json!({"code": family(name) + "while True: pass"});
    tokio::select! {
        reply = server.post("/x/execute", &request) => panic!("it ended by itself: {reply:?}"),
        () = until("six processes", || named(name).len() >= 6) => {} // and the request is dropped
    }
    let over = Instant::now();
    until("all are gone", || named(name).is_empty()).await;
    assert!(over.elapsed() < Duration::from_secs(1), "it took {:?}", over.elapsed());
}

/// [I12] [I07] [H22] Checked from outside the cell.
#[tokio::test]
async fn the_reported_isolation_matches_what_the_kernel_reports() {
    let (server, _data) = whole().await;
    let reported = server.get("/x/isolation").await.body;
    let namespaced = is_namespaced(&server).await;
    assert_eq!(
        reported["tier"],
        if namespaced { "namespaced" } else { "landlocked" },
        "{reported}"
    );
    let name = "battery-who";
    let code =
        format!("import ctypes, time\nctypes.CDLL(None).prctl(15, b'{name}')\ntime.sleep(25)");
    let request = json!({"code": code});
    let look = async {
        until("two of them", || named(name).len() == 2).await;
        let cells = named(name);
        for cell in &cells {
            assert_status(*cell);
        }
        cells.iter().map(|cell| namespaces(&cell.to_string())).collect::<Vec<_>>()
    };
    let ask = || server.post("/x/execute", &request);
    let namespaces_of_cells = tokio::select! {
        replies = async { tokio::join!(ask(), ask()) } => panic!("not observed: {replies:?}"),
        seen = look => seen, // and the requests are dropped
    };
    let ours = namespaces("self");
    for (kind, our) in ours {
        let theirs: Vec<_> = namespaces_of_cells.iter().filter_map(|n| n.get(&kind)).collect();
        assert_eq!(theirs.len(), 2, "{kind}");
        let apart = *theirs[0] != our && theirs[0] != theirs[1];
        assert_eq!(apart, namespaced, "{kind}: {theirs:?}");
    }
}

fn assert_status(process: i32) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let own = std::fs::read_to_string("/proc/self/status").expect("we run");
    let field = |text: &str, name: &str| -> String {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (name, wanted) in [
        ("CapEff", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        assert_eq!(field(&status, name), wanted, "{name}");
    }
    // With a root warden, cells have users without privileges; otherwise the warden's, without root's groups.
    let users: Vec<_> = ["Uid", "Gid"].iter().map(|name| field(&status, name)).collect();
    assert!(users.iter().all(|ids| ids.split(' ').all(|id| id != "0")), "{users:?}");
    if rustix::process::geteuid().is_root() {
        assert_eq!(field(&status, "Groups"), "");
    }
    // Speculation controls are as elsewhere on this machine.
    for name in ["Speculation_Store_Bypass", "SpeculationIndirectBranch"] {
        assert_eq!(field(&status, name), field(&own, name), "{name}");
    }
}

/// The namespaces that this process may read: an ordinary user sees none of a cell.
fn namespaces(process: &str) -> std::collections::BTreeMap<String, String> {
    let root = rustix::process::geteuid().is_root();
    let kinds = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"].iter().filter(|_| root);
    kinds
        .map(|kind| {
            let link = std::fs::read_link(format!("/proc/{process}/ns/{kind}"));
            ((*kind).to_owned(), link.expect("root may look").display().to_string())
        })
        .collect()
}

/// [E13] Cells over a limit are stopped, and warden and zygote are not replaced.
#[tokio::test]
async fn warden_and_zygote_survive_attacks_of_their_cells() {
    let (server, _data) = whole().await;
    let before: Vec<_> = below(server.id()).into_iter().take(2).collect();
    let attacks = [
        "import os, time\nfor _ in range(4):\n  if os.fork() == 0: x = bytearray(b'x') * (600 << 20); time.sleep(60)\ntime.sleep(60)",
        "import os, signal\nos.kill(0, signal.SIGKILL)",
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: os.write(2, b'full'); break\nos.abort()",
        "while True: print('x' * 100_000)",
    ];
    for attack in attacks {
        let reply = server.post("/x/execute", &json!({"code": attack, "timeout_s": 20})).await;
        assert_eq!(reply.body["outcome"], "failed", "{attack}: {:.500}", reply.body);
        alive(&server).await;
    }
    assert_eq!(below(server.id()).into_iter().take(2).collect::<Vec<_>>(), before);
}

/// [K15] [K07]
#[tokio::test]
async fn a_shutdown_during_twenty_runs_is_in_time_and_leaves_no_process() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let mut server = Program::start_whole(data.path(), &["--shutdown-grace", "2s"]);
    let name = "battery-stop";
    let short = json!({"code": format!("import ctypes, time\nctypes.CDLL(None).prctl(15, b'{name}')\ntime.sleep(1.5)\nprint('on')")});
    let long = json!({"code": family(name) + "while True: time.sleep(1)"});
    let client = (*server).clone();
    let runs = (0..20).map(|n| {
        let (client, request) =
            (client.clone(), if n % 2 == 0 { short.clone() } else { long.clone() });
        async move { client.request("POST", "/x/execute").json(&request).send().await }
    });
    let runs = tokio::spawn(join_all(runs));
    until("most of them", || named(name).len() > 40).await;
    let processes = below(server.id());

    let began = Instant::now();
    server.terminate();
    assert!(server.wait().success(), "it ends well");
    let took = began.elapsed();

    assert!(took < Duration::from_secs(2 + 5), "it took {took:?}");
    for (n, response) in runs.await.expect("no request panics").into_iter().enumerate() {
        let response = response.expect("the server answers");
        // A short run ends within the grace period if it began soon enough.
        let status = response.status().as_u16();
        assert!(status == 503 || status == 200 && n % 2 == 0, "run {n}: {status}");
    }
    until("none is left", || named(name).is_empty()).await;
    let there = |process: &i32| std::path::Path::new(&format!("/proc/{process}")).exists();
    until("nor any other", || !processes.iter().any(there)).await;
}

/// [H23] As documented: address-space layout is randomized once per zygote.
#[tokio::test]
async fn each_zygote_has_a_new_random_address_layout() {
    let code = json!({"code": "import ctypes; print(ctypes.cast(ctypes.CDLL(None).printf, ctypes.c_void_p).value)"});
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (server, _data) = whole().await;
        let one = server.post("/x/execute", &code).await.body;
        assert_eq!(one["stdout"], server.post("/x/execute", &code).await.body["stdout"]);
        seen.push(one["stdout"].clone());
    }
    assert_ne!(seen[0], seen[1]);
}
