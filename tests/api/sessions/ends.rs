//! How sessions end, and the limits on them.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{SESSIONS, open, run, stdout};
use harness::{Reply, SESSION_LIMITS, TestServer, Warden};
use server::SessionLimits;

/// Fails unless the session has ended, and returns the message.
async fn gone(server: &TestServer, session: &str) -> String {
    let code = json!({"code": "print(1)"});
    let reply = server.post(&format!("{session}/execute"), &code).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (410, &json!(410)), "{}", reply.body);
    let message = reply.message().to_owned();
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/interrupt"), ("GET", "/files")] {
        let request = server.request(method, &format!("{session}{path}"));
        assert_eq!(Reply::to(request).await.status, 410, "{method} {path}");
    }
    message
}

/// Waits for the end of a session.
async fn until_gone(server: &TestServer, session: &str) -> String {
    let ended = async {
        while server.get(session).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends");
    gone(server, session).await
}

#[tokio::test]
async fn a_deleted_session_is_gone_and_its_place_is_free() {
    let limits = SessionLimits { sessions_of_owner: 2, ..SESSION_LIMITS };
    let server = TestServer::builder().sessions(limits).start().await;
    let (first, _second) = (open(&server, json!({})).await, open(&server, json!({})).await);
    let third = server.post(SESSIONS, &json!({})).await;
    assert_eq!(third.status, 429, "{}", third.body);
    assert!(third.message().contains("2 sessions already"), "{}", third.message());
    assert_eq!(server.delete(&first).await.body, json!({}));
    open(&server, json!({})).await;
    assert!(gone(&server, &first).await.contains("has ended: it was deleted"));
}

#[tokio::test]
async fn deleting_a_session_stops_its_code() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let code = json!({"code": "while True: pass"});
    let execute = format!("{session}/execute");
    let running = server.post(&execute, &code);
    let deleting = async {
        while server.get(&session).await.body["state"] != "running" {}
        server.delete(&session).await
    };
    let (ran, deleted) = futures_util::future::join(running, deleting).await;
    assert_eq!((ran.status, deleted.status), (410, 200), "{}", ran.body);
}

#[tokio::test]
async fn an_idle_session_and_an_old_one_end() {
    let limits = SessionLimits { max_age: Duration::from_secs(2), ..SESSION_LIMITS };
    let server = TestServer::builder().sessions(limits).start().await;
    let idle = open(&server, json!({"idle_timeout_s": 0.3})).await;
    let old = open(&server, json!({"idle_timeout_s": 2})).await;
    let busy = async {
        loop {
            let reply = server.post(&format!("{old}/execute"), &json!({"code": "1"})).await;
            if reply.status != 200 {
                return reply;
            }
        }
    };
    let busy = tokio::time::timeout(Duration::from_secs(20), busy).await.expect("it ends");
    assert_eq!(busy.status, 410, "{}", busy.body);
    assert!(until_gone(&server, &old).await.contains("maximum age"));
    assert!(until_gone(&server, &idle).await.contains("idle for too long"));
}

#[tokio::test]
async fn a_session_in_use_is_not_idle() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({"idle_timeout_s": 0.5})).await;
    assert_eq!(stdout(&server, &session, "import time; time.sleep(1.2); print(1)").await, "1\n");
    assert_eq!(stdout(&server, &session, "print(2)").await, "2\n");
    until_gone(&server, &session).await;
}

#[tokio::test]
async fn code_that_ends_its_interpreter_ends_this_session_alone() {
    let server = TestServer::start("").await;
    let other = open(&server, json!({})).await;
    run(&server, &other, "kept = 1").await;
    for (code, wanted) in [
        ("import os; os._exit(3)", "its code ended the interpreter with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9 ended its interpreter"),
        ("import os; os.close(3); os.kill(os.getpid(), 11)", "signal 11 ended its interpreter"),
        ("print('x' * (20 << 20))", "its code met a limit: 10 MiB"),
        ("import os\nwhile True: os.fork()", "its code met a limit"),
    ] {
        let session = open(&server, json!({})).await;
        let answer = run(&server, &session, code).await;
        let end = answer["session_ended"].as_str().unwrap_or_default();
        assert!(end.starts_with(wanted), "{code}: {answer}");
        let message = gone(&server, &session).await;
        assert!(message.contains(wanted), "{code}: {message}");
    }
    assert_eq!(stdout(&server, &other, "print(kept)").await, "1\n");
}

#[tokio::test]
async fn sessions_that_hold_too_much_memory_are_refused_and_ended() {
    let limits = SessionLimits { memory_bytes: 300 << 20, ..SESSION_LIMITS };
    let server = TestServer::builder().sessions(limits).start().await;
    let first = open(&server, json!({})).await;
    stdout(&server, &first, "a = bytearray(200 << 20)").await;
    let held = server.get(&first).await.body["memory_bytes"].as_u64().expect("a number");
    assert!((200 << 20..260 << 20).contains(&held), "{held}");
    let second = open(&server, json!({})).await;
    let answer = run(&server, &second, "a = bytearray(200 << 20); print(1)").await;
    assert_eq!(answer["stdout"], "1\n");
    assert_eq!(answer["session_ended"], "the sessions of this API key held too much memory");
    stdout(&server, &first, "b = bytearray(95 << 20)").await;
    let third = open(&server, json!({})).await;
    stdout(&server, &third, "del_ = 1").await;
    assert_eq!(stdout(&server, &first, "del a, b; print(1)").await, "1\n");
    let held = server.get(&first).await.body["memory_bytes"].as_u64().expect("a number");
    assert!(held < 60 << 20, "freed memory does not count: {held}");
}

#[tokio::test]
async fn sessions_leave_cells_for_runs() {
    let warden = Warden::start(&["--max-cells", "8", "--standbys", "1"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let request = json!({});
    let opened = join_all((0..8).map(|_| server.post(SESSIONS, &request))).await;
    let (open, refused): (Vec<_>, Vec<_>) = opened.iter().partition(|reply| reply.status == 200);
    assert_eq!((open.len(), refused.len()), (6, 2), "a quarter is left");
    assert_eq!(refused[0].status, 429, "{}", refused[0].body);
    assert_eq!(refused[0].message(), "All cells are in use. Try again.");
    let ran = server.post("/x/execute", &json!({"code": "print(1)"})).await;
    assert_eq!(ran.body["stdout"], "1\n", "{}", ran.body);
}

#[tokio::test]
async fn a_restart_of_the_server_or_of_the_warden_ends_sessions_honestly() {
    let warden = Warden::start(&["--standbys", "1"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let session = open(&server, json!({})).await;
    run(&server, &session, "kept = 1").await;
    let next = TestServer::builder().sandbox(&warden.socket()).start().await;
    let message = gone(&next, &session).await;
    assert!(message.ends_with("has ended: the server was restarted."), "{message}");

    let id = Pid::from_raw(warden.id().cast_signed()).expect("no process is 0");
    kill_process(id, Signal::KILL).expect("it runs");
    let message = until_gone(&server, &session).await;
    assert!(message.ends_with("its process in the sandbox was lost."), "{message}");
    assert_eq!(server.get(SESSIONS).await.body, json!({"sessions": []}));
}

#[tokio::test]
async fn a_shutdown_ends_sessions_and_their_code() {
    let server = TestServer::start("").await;
    let client = (*server).clone();
    let session = open(&server, json!({})).await;
    let code = json!({"code": "print('begun', flush=True)\nwhile True: pass"});
    let execute = format!("{session}/execute");
    let running = client.post(&execute, &code);
    let stopping = async {
        while client.get(&session).await.body["state"] != "running" {}
        server.stop().await
    };
    let (ran, stopped) = futures_util::future::join(running, stopping).await;
    stopped.expect("it stops in order");
    assert_eq!(ran.body["outcome"], "deadline_exceeded", "the grace is longer: {}", ran.body);
}
