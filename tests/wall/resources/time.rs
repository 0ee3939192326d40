//! Time: every run ends at its time limit, regardless of what it does.

use std::time::{Duration, Instant};

use crate::{alive, execute_within, ran, run};
use harness::{Program, RUN_LIMIT, TestServer, direct};

/// [D01] [D02] [D04] [D11]
#[tokio::test]
async fn no_run_exceeds_the_time_limit() {
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
        let output = run(&server, &format!("print('before', end='')\n{hog}")).await.failed();
        let took = began.elapsed();
        assert_eq!(
            output, "before\nTimeoutError: stopped after 5 s (the limit of one run)\n",
            "{hog}"
        );
        assert!(took >= RUN_LIMIT && took < RUN_LIMIT + Duration::from_secs(1), "{took:?}: {hog}");
    }
}

/// [D07] [D09]
#[tokio::test]
async fn a_run_ends_with_its_process_even_if_children_remain() {
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

/// The one test with the default limit.
#[tokio::test]
async fn the_default_time_limit_is_thirty_seconds() {
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);

    let began = Instant::now();
    let reply = server.create(direct("print('before')\nwhile True: pass")).await;
    let took = began.elapsed().as_secs_f64();

    let output = ran(&reply).remove(0).failed();
    assert_eq!(output, "before\nTimeoutError: stopped after 30 s (the limit of one run)\n");
    assert!((29.0..31.0).contains(&took), "it took {took} s");
}

/// [D02] [D04] [D06]
#[tokio::test]
async fn no_kind_of_waiting_or_work_extends_the_time_limit() {
    let server = TestServer::start("").await;
    let limit = Duration::from_millis(500);
    let hogs = [
        "import signal; signal.pause()",
        "import os; r, w = os.pipe(); os.read(r, 1)",
        "import select; select.select([], [], [])",
        "x = 10 ** 10 ** 8",
        "import numpy as np; np.linalg.svd(np.random.rand(4000, 4000))",
        "import sys, faulthandler\nsys.settrace(lambda *a: None); faulthandler.cancel_dump_traceback_later()\nwhile True: pass",
        "import signal; signal.alarm(0); signal.setitimer(signal.ITIMER_REAL, 0)\nwhile True: pass",
        "import threading\nthreading.Thread(target=threading.Event().wait).start()",
        "class K(int):\n  def __hash__(self): return 1\nd = {}\nfor i in range(10**6): d[K(i)] = i",
        "import itertools; sum(itertools.repeat(1, 10**11))",
        "import os\nos.fork()\nwhile True: pass",
        "import os\nwhile True: os.write(2, bytes(1 << 16))",
        "import os\nwhile True: os.write(4, bytes(1 << 16))",
        "import os, struct\nwhile True: os.write(4, struct.pack('!I', 0xFFFFFFFF) + bytes(1 << 16))",
    ];
    for hog in hogs {
        let answer = execute_within(&server, &format!("print('before')\n{hog}"), limit).await;
        let took = answer["usage"]["wall_ms"].as_f64().expect("a number");
        assert_eq!(answer["outcome"], "deadline_exceeded", "{hog}: {answer}");
        assert_eq!(answer["stdout"].as_str().map(|text| &text[..7]), Some("before\n"), "{hog}");
        assert!((500.0..1000.0).contains(&took), "{took} ms: {hog}");
        alive(&server).await;
    }
}

/// [D03]
#[tokio::test]
async fn output_before_the_deadline_is_kept() {
    let server = TestServer::start("").await;
    let code = "import time\ni = 0\nwhile True: print(i); i += 1; time.sleep(0.05)";
    let answer = execute_within(&server, code, Duration::from_secs(1)).await;
    let lines: Vec<_> = answer["stdout"].as_str().expect("it is text").lines().collect();
    let counted: Vec<_> = (0..lines.len()).map(|i| i.to_string()).collect();
    assert!(lines == counted && lines.len() > 10, "{answer}");
}

/// [D13]
#[tokio::test]
async fn a_run_just_below_the_time_limit_succeeds() {
    let server = TestServer::start("").await;
    let almost = RUN_LIMIT.as_secs_f64() - 0.3;
    let code = format!("import time; time.sleep({almost}); print('done')");
    assert_eq!(run(&server, &code).await.ok(), "done\n");
}

/// [D18]
#[tokio::test]
async fn the_clock_cannot_be_set() {
    let server = TestServer::start("").await;
    let code = "import time\nbefore = time.time()\n\
                try: time.clock_settime(time.CLOCK_REALTIME, 0); print('set')\n\
                except PermissionError: print(time.time() - before < 1)";
    assert_eq!(run(&server, code).await.ok(), "True\n");
}
