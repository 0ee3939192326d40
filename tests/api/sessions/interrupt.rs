//! Interruptions, and time limits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{open, run, stdout};
use harness::{Client, Stream, TestServer};

/// Starts code, and returns once it has printed its first line.
async fn started(server: &Client, session: &str, code: &str) -> Stream {
    let request = server.request("POST", &format!("{session}/execute?stream=true"));
    let mut stream = Stream::of(request.json(&json!({"code": code}))).await;
    stream.until("stdout").await;
    stream
}

async fn interrupt(server: &Client, session: &str) -> Value {
    server.post(&format!("{session}/interrupt"), &json!({})).await.body
}

#[tokio::test]
async fn an_interruption_ends_the_code_and_keeps_the_state() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let endless = ["while True: pass", "import time; time.sleep(60)", "sum(iter(lambda: 1, 0))"];
    for code in endless {
        let code = format!("kept = 42\nprint('begun')\n{code}");
        let mut stream = started(&server, &session, &code).await;
        assert_eq!(interrupt(&server, &session).await, json!({"result": "interrupted"}));
        let result = stream.until("result").await.data;
        assert_eq!(result["outcome"], "failed", "{result}");
        let stderr = result["stderr"].as_str().expect("it is text");
        assert!(stderr.ends_with("KeyboardInterrupt\n"), "{stderr}");
        assert_eq!(stdout(&server, &session, "print(kept); del kept").await, "42\n");
    }
    assert_eq!(interrupt(&server, &session).await, json!({"result": "not_running"}));
}

/// The signal may come before the code begins, at its end, or after it.
#[tokio::test]
async fn an_interruption_at_any_moment_leaves_the_session_usable() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    for round in 0..30_u32 {
        let code = format!("for n in range({}): pass", round * 2000);
        let running = run(&server, &session, &code);
        let interrupting = async {
            for _ in 0..5 {
                interrupt(&server, &session).await;
            }
        };
        let (answer, ()) = futures_util::future::join(running, interrupting).await;
        assert_eq!(answer.get("session_ended"), None, "{answer}");
    }
    assert_eq!(stdout(&server, &session, "print('usable')").await, "usable\n");
}

#[tokio::test]
async fn code_that_handles_the_interruption_continues() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let code = "import time\nprint('begun')\n\
                try: time.sleep(60)\nexcept KeyboardInterrupt: print('handled')";
    let mut stream = started(&server, &session, code).await;
    interrupt(&server, &session).await;
    let result = stream.until("result").await.data;
    assert_eq!((&result["outcome"], &result["stdout"]), (&json!("ok"), &json!("begun\nhandled\n")));
    let own = "import signal\nsignal.signal(signal.SIGINT, lambda *_: print('own'))\n\
               print('begun')\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass";
    let mut stream = started(&server, &session, own).await;
    interrupt(&server, &session).await;
    let result = stream.until("result").await.data;
    assert_eq!(result["stdout"], "begun\nown\n", "{result}");
    let kept = "print(signal.getsignal(signal.SIGINT).__name__)";
    assert_eq!(
        stdout(&server, &session, kept).await,
        "<lambda>\n",
        "a handler is a part of the state"
    );
}

#[tokio::test]
async fn code_over_its_time_limit_is_interrupted_and_the_state_is_kept() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({"timeout_s": 0.3})).await;
    let answer = run(&server, &session, "kept = 1\nwhile True: pass").await;
    assert_eq!(answer["outcome"], "deadline_exceeded", "{answer}");
    assert_eq!(answer["limit"], json!({"name": "wall_ms", "value": 300}));
    assert_eq!(answer.get("session_ended"), None, "{answer}");
    assert_eq!(stdout(&server, &session, "print(kept)").await, "1\n");
    let stubborn = "import signal\nsignal.signal(signal.SIGINT, lambda *_: None)\nwhile True: pass";
    let answer = run(&server, &session, stubborn).await;
    assert_eq!(answer["outcome"], "deadline_exceeded", "{answer}");
    let end = answer["session_ended"].as_str().expect("it could not be kept");
    assert!(end.starts_with("its code met a limit: 0.3 s"), "{end}");
}

#[tokio::test]
async fn code_whose_client_disconnects_is_interrupted() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let began = Instant::now();
    let code = "kept = 1\nprint('begun')\nwhile True: pass";
    drop(started(&server, &session, code).await);
    assert_eq!(stdout(&server, &session, "print(kept)").await, "1\n");
    assert!(began.elapsed() < Duration::from_secs(4), "the time limit ended it");
}
