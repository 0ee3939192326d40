//! Start and stop of the program, and the data that survives them.

use std::net::SocketAddr;

use harness::{Program, below, direct};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("the temporary folder can be created")
}

#[tokio::test]
async fn completed_interactions_survive_a_killed_server() {
    let data = folder();
    let server = Program::start(data.path(), &[]);
    let code = "from PIL import Image\nImage.new('RGB', (2, 2)).save('dot.png')\nprint(42)";
    let answer = server.create(direct(code)).await;
    let path = format!("/v1beta/interactions/{}", answer["id"].as_str().expect("it was stored"));
    let found = server.get(&path).await.body;
    server.kill();

    let server = Program::start(data.path(), &[]);
    assert_eq!(server.get(&path).await.body, found);
}

/// [K07]
#[tokio::test]
async fn an_interaction_interrupted_by_a_kill_is_failed() {
    let data = folder();
    let server = Program::start(data.path(), &[]);
    let mut stream = server.create_stream(direct("while True: pass")).await;
    let created = stream.until("interaction.created").await;
    let id = created.data["interaction"]["id"].as_str().expect("it has one").to_owned();
    stream.until("step.stop").await;
    server.kill();

    let server = Program::start(data.path(), &[]);
    let found = server.get(&format!("/v1beta/interactions/{id}")).await.body;
    assert_eq!(found["status"], "failed");
    let why = "The server stopped before this interaction ended.";
    assert_eq!(found["errors"][0]["message"], why);
    assert_eq!(found["steps"][1]["type"], "code_execution_call");
    assert_eq!(server.events(&id, None).await.last().expect("there are some").name, "error");
}

#[tokio::test]
async fn interactions_older_than_the_retention_are_deleted() {
    let data = folder();
    let server = Program::start(data.path(), &[]);
    let answer = server.create(direct("print(42)")).await;
    let path = format!("/v1beta/interactions/{}", answer["id"].as_str().expect("it was stored"));
    server.kill();

    let server = Program::start(data.path(), &["--retention", "1h"]);
    assert_eq!(server.get(&path).await.status, 200);
    server.kill();

    let server = Program::start(data.path(), &["--retention", "1ms"]);
    // The retention sweep begins with the server, and sends no signal when it is done.
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(10));
    while server.get(&path).await.status != 404 {
        looks.tick().await;
    }
    // A new interaction is safe until the next sweep.
    server.create(direct("print(42)")).await;
}

/// [K15]
#[tokio::test]
async fn a_stop_lets_running_interactions_finish() {
    let data = folder();
    let mut server = Program::start(data.path(), &[]);
    // Long enough that the signal comes before the end, and no longer.
    let code = "import time\ntime.sleep(0.5)\nprint(42)";
    let mut stream = server.create_stream(direct(code)).await;
    stream.until("step.stop").await;
    server.terminate();

    let events = stream.rest().await;
    assert_eq!(events.last().expect("there are some").name, "done");
    let result = events.iter().find(|event| event.data["delta"]["result"] == "42\n");
    assert!(result.is_some(), "{events:?}");
    assert!(server.wait().success());
}

#[tokio::test]
async fn a_stop_waits_at_most_the_drain_timeout() {
    let data = folder();
    let mut server = Program::start(data.path(), &["--shutdown-grace", "100ms"]);
    let mut stream = server.create_stream(direct("while True: pass")).await;
    stream.until("step.stop").await;
    server.terminate();

    let events = stream.rest().await;
    let last = &events[events.len() - 2];
    assert_eq!(last.data["interaction"]["status"], "cancelled");
    assert!(server.wait().success());
}

#[test]
fn listening_for_other_machines_requires_keys() {
    let data = folder();
    let address = SocketAddr::from(([0, 0, 0, 0], 0)).to_string();
    let data = data.path().to_str().expect("it is text");
    let output = Program::fail(&["--listen", &address, "--data-dir", data]);
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("BELLJAR_API_KEYS"), "{words}");
    assert!(output.stdout.is_empty());
}

#[test]
fn an_unknown_flag_is_refused() {
    let output = Program::fail(&["--colour", "red"]);
    assert_eq!(output.status.code(), Some(2));
}

/// The warden of this server, which is its child.
fn warden_of(server: &Program) -> i32 {
    let name = |process: &i32| std::fs::read_to_string(format!("/proc/{process}/comm"));
    let found = below(server.id()).into_iter();
    let mut wardens =
        found.filter(|process| name(process).is_ok_and(|name| name.trim() == "belljar-warden"));
    wardens.next().expect("it has one")
}

/// A variable that names a key is inherited by child processes unless it is removed.
#[tokio::test]
async fn the_warden_inherits_only_the_environment_that_it_reads() {
    let data = folder();
    let server = Program::start_whole(data.path(), &[]);
    let environment = |process: &dyn std::fmt::Display| {
        let text = std::fs::read(format!("/proc/{process}/environ")).expect("it is ours");
        String::from_utf8_lossy(&text).into_owned()
    };
    // A variable of this test that neither program reads.
    let name = "CARGO_MANIFEST_DIR=";
    assert!(environment(&server.id()).contains(name), "the test has to have it");
    let given = environment(&warden_of(&server));
    assert!(!given.contains(name) && given.contains("BELLJAR_LOG="), "{given}");
    assert!(given.contains("PATH=") && given.contains("TMPDIR="), "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_right_after_the_warden_was_killed_are_answered_by_the_next_one() {
    let data = folder();
    let server = Program::start_whole(data.path(), &[]);
    for _ in 0..2 {
        let warden = warden_of(&server);
        let warden = rustix::process::Pid::from_raw(warden).expect("no process is 0");
        let killed = rustix::process::kill_process(warden, rustix::process::Signal::KILL);
        killed.expect("it is there");
        let code = serde_json::json!({"code": "print(6 * 7)"});
        let requests = (0..4).map(|_| server.post("/x/execute", &code));
        let (executed, interaction) = tokio::join!(
            futures_util::future::join_all(requests),
            server.create(direct("print(6 * 7)"))
        );
        for reply in executed {
            assert_eq!(
                (reply.status, &reply.body["stdout"]),
                (200, &"42\n".into()),
                "{}",
                reply.body
            );
        }
        assert_eq!(interaction["steps"][1]["result"], "42\n", "{interaction}");
    }
}
