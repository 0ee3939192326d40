//! Concurrency: every run gets its turn, and misbehaving runs harm only themselves.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::host::{named, until};
use crate::{alive, execute, python, run};
use harness::{TestServer, Warden};

/// [D15]
#[tokio::test]
async fn a_request_beyond_the_queue_gets_retry_after_and_is_not_run() {
    let warden = Warden::start(&["--max-cells", "2", "--standbys", "2", "--queue-ms", "500"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let request = json!({"code": "import time; time.sleep(2); print('slept')"});

    let replies = join_all((0..3).map(|_| server.post("/x/execute", &request))).await;

    let slept = replies.iter().filter(|reply| reply.body["stdout"] == "slept\n").count();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
    assert_eq!((slept, refused.len()), (2, 1), "{replies:?}");
    assert_eq!(refused[0].body["error"]["status"], "RESOURCE_EXHAUSTED");
    let seconds = refused[0].headers["retry-after"].to_str().expect("it is text");
    assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0), "{seconds}");
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// [D14]
#[tokio::test]
async fn time_in_the_queue_does_not_count_against_the_time_limit() {
    let warden = Warden::start(&["--max-cells", "1", "--queue-ms", "5000", "--wall-ms", "2000"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = "import time; time.sleep(1.5); print('slept')";
    let began = Instant::now();
    let (one, other) = tokio::join!(execute(&server, code), execute(&server, code));
    assert_eq!((&one["stdout"], &other["stdout"]), (&json!("slept\n"), &json!("slept\n")));
    assert!(began.elapsed() >= Duration::from_secs(3), "one waited for the other");
}

/// [D17]
#[tokio::test]
async fn a_client_that_disconnects_frees_its_cell_at_once() {
    let warden = Warden::start(&["--max-cells", "1", "--queue-ms", "5000", "--wall-ms", "20000"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    for _ in 0..3 {
        let request = json!({"code": "import time; time.sleep(15)"});
        let gone = server.post("/x/execute", &request);
        let gone = tokio::time::timeout(Duration::from_millis(300), gone).await;
        assert!(gone.is_err(), "the code still sleeps");
        alive(&server).await;
    }
}

/// [D15]
#[tokio::test]
async fn sleeping_runs_delay_no_other_run() {
    let server = TestServer::start("").await;
    let sleeper = "import time; time.sleep(2); print('slept')";
    let sleepers = join_all((0..16).map(|_| run(&server, sleeper)));
    let others = async {
        for _ in 0..20 {
            assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
        }
        Instant::now()
    };
    let began = Instant::now();
    let (sleepers, done) = tokio::join!(sleepers, others);
    assert!(sleepers.into_iter().all(|run| run.ok() == "slept\n"));
    assert!(done - began < Duration::from_secs(10), "20 short runs took {:?}", done - began);
}

/// [D15]
#[tokio::test]
async fn sixty_four_sleepers_do_not_block_the_queue() {
    let warden =
        Warden::start(&["--max-cells", "65", "--queue-ms", "90000", "--wall-ms", "300000"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let name = "battery-sleeps";
    let code =
        format!("import ctypes, time\nctypes.CDLL(None).prctl(15, b'{name}')\ntime.sleep(300)");
    let sleepers = join_all((0..64).map(|_| execute(&server, &code)));
    let others = async {
        until("all sleep", || named(name).len() == 64).await;
        for _ in 0..5 {
            alive(&server).await;
        }
        assert_eq!(named(name).len(), 64);
    };
    tokio::select! {
        slept = sleepers => panic!("they slept out before the others were done: {slept:?}"),
        () = others => {} // and the sleepers are dropped
    }
    until("no process sleeps", || named(name).is_empty()).await;
}

#[tokio::test]
async fn every_reply_belongs_to_its_own_run() {
    let server = TestServer::start("").await;
    let runs = join_all((0..24).map(|i| {
        let server = &server;
        async move {
            let code = match i % 4 {
                0 => format!("print('nonce {i}')"),
                1 => format!("print('nonce {i}'); 1/0"),
                2 => format!("print('nonce {i}', flush=True); import os; os.abort()"),
                _ => python(&format!(
                    "
                    import os, time
                    open('nonce', 'w').write('nonce {i}')
                    time.sleep(0.1)
                    print(open('nonce').read(), len(os.listdir()) == 1 or os.listdir())
                    "
                )),
            };
            (i, run(server, &code).await)
        }
    }))
    .await;
    for (i, run) in runs {
        let own = if i % 4 == 3 { format!("nonce {i} True\n") } else { format!("nonce {i}\n") };
        assert!(run.result.starts_with(&own), "{i}: {}", run.result);
        assert_eq!(run.is_error, matches!(i % 4, 1 | 2), "{i}");
    }
}
