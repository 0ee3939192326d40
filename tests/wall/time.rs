//! Time: every run ends when its time is over, whatever it does.

use std::time::{Duration, Instant};

use crate::harness::{Program, RUN_LIMIT, TestServer, direct};
use crate::{ran, run};

#[tokio::test]
async fn nothing_outlasts_the_limit() {
    let server = TestServer::start("").await;
    let hogs = [
        "while True: pass",
        "import time; time.sleep(1e6)",
        "import threading; threading.Event().wait()",
        "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
        "sum(range(10**12))",
        "import signal\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nwhile True: pass",
        "import threading, time; threading.Thread(target=time.sleep, args=[1e6]).start()",
        "import os; os.closerange(3, 100)\nwhile True: pass",
    ];
    for hog in hogs {
        let began = Instant::now();
        let told = run(&server, &format!("print('before', end='')\n{hog}")).await.failed();
        let took = began.elapsed();
        assert_eq!(
            told, "before\nTimeoutError: stopped after 3 s (the limit of one run)\n",
            "{hog}"
        );
        assert!(took >= RUN_LIMIT && took < RUN_LIMIT + Duration::from_secs(1), "{took:?}: {hog}");
    }
}

#[tokio::test]
async fn a_run_ends_with_its_process_and_not_with_what_it_left_behind() {
    let server = TestServer::start("").await;
    let code = "import os, subprocess\n\
                subprocess.Popen(['sleep', '1000'], start_new_session=True)\n\
                if os.fork() == 0:\n\
                \x20   import time; time.sleep(0.5); print('late'); os._exit(0)\n\
                print('done')";
    let began = Instant::now();
    assert_eq!(run(&server, code).await.ok(), "done\n");
    assert!(began.elapsed() < RUN_LIMIT);
}

/// The one test with the limit as everybody has it.
#[tokio::test]
async fn thirty_seconds_are_thirty_seconds() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);

    let began = Instant::now();
    let reply = server.create(direct("print('before')\nwhile True: pass")).await;
    let took = began.elapsed().as_secs_f64();

    let told = ran(&reply).remove(0).failed();
    assert_eq!(told, "before\nTimeoutError: stopped after 30 s (the limit of one run)\n");
    assert!((29.0..31.0).contains(&took), "it took {took} s");
}
