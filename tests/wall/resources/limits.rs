//! Every exceeded limit is reported in text, and by name and value.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{alive, execute, execute_within, is_namespaced, python, run};
use harness::{TestServer, Warden};

#[track_caller]
fn stderr_of(answer: &Value) -> &str {
    answer["stderr"].as_str().expect("it is text")
}

#[tokio::test]
async fn an_exception_caused_by_a_limit_is_followed_by_the_limit() {
    // Exhausting a limit can take a busy machine longer than the tests' time limit.
    let warden = Warden::start(&["--standbys", "2"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let cases: [(&str, (&str, u64, &str)); 13] = [
        (
            "import os, time\nwhile True:\n  if os.fork() == 0: time.sleep(60)",
            ("processes", 64, "64 processes"),
        ),
        (
            "import subprocess\np = [subprocess.Popen(['sleep', '60']) for _ in range(100)]",
            ("processes", 64, "64 processes"),
        ),
        (
            "import multiprocessing, time\n\
             for _ in range(100): multiprocessing.Process(target=time.sleep, args=[60]).start()",
            ("processes", 64, "64 processes"),
        ),
        (
            "import threading, time\n\
             threading.stack_size(1 << 16)\n\
             for _ in range(600): threading.Thread(target=time.sleep, args=[60], daemon=True).start()",
            ("threads", 512, "512 threads"),
        ),
        ("f = [open('/dev/null') for _ in range(300)]", ("open_files", 256, "256 open files")),
        ("import os\nwhile True: os.pipe()", ("open_files", 256, "256 open files")),
        (
            "f = open('f', 'wb', 0)\nwhile True: f.write(bytes(1 << 20))",
            ("disk_bytes", 512 << 20, "512 MiB of files"),
        ),
        (
            "for i in range(600):\n  with open(f'{i}', 'wb') as f: f.write(bytes(1 << 20))",
            ("disk_bytes", 512 << 20, "512 MiB of files"),
        ),
        (
            "import os\nos.truncate(os.open('f', os.O_CREAT | os.O_RDWR), 1 << 40)",
            ("disk_bytes", 512 << 20, "512 MiB of files"),
        ),
        (
            "for i in range(20_000): open(f'{i}', 'w').close()",
            ("disk_files", 10_000, "10000 files and folders"),
        ),
        ("x = bytearray(3 << 30)", ("memory_bytes", 2 << 30, "2048 MiB of memory")),
        (
            "import mmap\nx = mmap.mmap(-1, 3 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)",
            ("memory_bytes", 2 << 30, "2048 MiB of memory"),
        ),
        (
            "import numpy as np\n\
             try: np.ones((10**6, 10**4))\n\
             except MemoryError as e: raise ValueError('too large') from e",
            ("memory_bytes", 2 << 30, "2048 MiB of memory"),
        ),
    ];
    let namespaced = is_namespaced(&server).await;
    for (code, (name, value, words)) in cases {
        // If the warden measures files, and no disk is full, the run may be stopped instead.
        let counted = name.starts_with("disk") && !namespaced || name == "processes";
        let then = if counted { "\nimport time; time.sleep(60)" } else { "" };
        let answer = execute(&server, &format!("print('before', flush=True)\n{code}{then}")).await;
        assert_eq!(answer["outcome"], "failed", "{code}: {answer}");
        assert_eq!(answer["stdout"], "before\n", "{code}");
        assert_eq!(answer["limit"], json!({"name": name, "value": value}), "{code}: {answer}");
        let stderr = stderr_of(&answer);
        // A traceback may be written before the run is stopped.
        let stopped = stderr.ends_with(&format!("OSError: stopped, used more than {words}\n"));
        let raised = stderr.starts_with("Traceback")
            && stderr.contains(&format!("\nThe limit is {words}\n"));
        assert!(raised || counted && stopped, "{code}: {stderr}");
        alive(&server).await;
    }
}

#[tokio::test]
async fn an_exception_with_another_cause_is_not_attributed_to_a_limit() {
    let server = TestServer::start("").await;
    for code in [
        "1/0",
        "raise OSError('odd')",
        "import os\nr, w = os.pipe(); os.set_blocking(r, False); os.read(r, 1)",
        "raise RuntimeError('no new thread')",
        "class E(Exception):\n  @property\n  def __cause__(self): raise self\nraise E",
        "e = ValueError(); e.__context__ = f = KeyError(); f.__context__ = e\nraise e",
    ] {
        let answer = execute(&server, code).await;
        assert_eq!(answer["outcome"], "failed", "{code}: {answer}");
        assert_eq!(answer.get("limit"), None, "{code}: {answer}");
        assert!(!stderr_of(&answer).contains("The limit is"), "{code}: {answer}");
    }
}

#[tokio::test]
async fn a_status_forged_by_the_code_only_selects_the_message() {
    let server = TestServer::start("").await;
    for byte in [2, 6, 7, 255] {
        let code = format!("import os\nos.write(3, bytes([{byte}]))\nwhile True: pass");
        let answer = execute(&server, &code).await;
        assert_eq!(answer["outcome"], "failed", "{byte}: {answer}");
        assert_ne!(stderr_of(&answer), "", "{byte}");
    }
    alive(&server).await;
}

#[tokio::test]
async fn parallel_work_uses_up_the_cpu_time_limit_faster() {
    let warden = Warden::start(&["--cpu-ms", "1000", "--wall-ms", "20000"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let hogs = [
        "while True: pass",
        "import os\nfor _ in range(3): os.fork()\nwhile True: pass",
        "import subprocess\nwhile True: subprocess.run(['bash', '-c', 'for i in {1..20000}; do :; done'])",
        "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
         if os.fork() == 0:\n  while True: pass\nsignal.pause()",
        "import numpy as np\nwhile True: np.linalg.svd(np.random.rand(500, 500))",
        "import threading\n\
         for _ in range(4): threading.Thread(target=lambda: sum(range(10**12)), daemon=True).start()\n\
         threading.Event().wait()",
    ];
    for hog in hogs {
        let answer = execute(&server, &format!("print('before', flush=True)\n{hog}")).await;
        assert_eq!(answer["outcome"], "deadline_exceeded", "{hog}: {answer}");
        assert_eq!(answer["limit"], json!({"name": "cpu_ms", "value": 1000}), "{hog}");
        let words = "TimeoutError: stopped, used more than 1 s of processor time\n";
        assert_eq!((&answer["stdout"], stderr_of(&answer)), (&json!("before\n"), words), "{hog}");
        let cpu_ms = answer["usage"]["cpu_ms"].as_f64().expect("a number");
        assert!((1000.0..2500.0).contains(&cpu_ms), "{hog}: {cpu_ms} ms");
    }
    alive(&server).await;
    let slept = execute(&server, "import time; time.sleep(1.5); print('slept')").await;
    assert_eq!(slept["stdout"], "slept\n", "waiting uses no CPU time: {slept}");
}

#[tokio::test]
async fn resource_usage_of_a_run_is_reported() {
    let server = TestServer::start("").await;
    let number = |answer: &Value, name: &str| answer["usage"][name].as_f64().expect("a number");

    let answer = execute(&server, "print(1)").await;
    assert!(number(&answer, "wall_ms") > 0.0 && number(&answer, "cpu_ms") > 0.0, "{answer}");
    assert!(number(&answer, "cpu_ms") < 200.0, "{answer}");
    assert!(number(&answer, "peak_memory_bytes") < f64::from(32 << 20), "{answer}");

    let works =
        "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass";
    let elsewhere =
        format!("import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-c', {works:?}])");
    for code in [works, &elsewhere] {
        let answer = execute(&server, code).await;
        assert!((300.0..1500.0).contains(&number(&answer, "cpu_ms")), "{code}: {answer}");
    }
    let sleeps = execute(&server, "import time; time.sleep(0.3)").await;
    assert!(number(&sleeps, "wall_ms") >= 300.0 && number(&sleeps, "cpu_ms") < 200.0, "{sleeps}");

    // Freed before the end, and faster than the warden polls.
    let peak = execute(&server, "x = b'x' * (300 << 20); del x").await;
    let bytes = number(&peak, "peak_memory_bytes");
    assert!((f64::from(295 << 20)..f64::from(360 << 20)).contains(&bytes), "{peak}");
    // Shared by three processes, counted once.
    let shared = python(
        r"
        import os, time
        x = b'x' * (300 << 20)
        for _ in range(2):
            if os.fork() == 0: time.sleep(1); os._exit(0)
        time.sleep(0.5)
        ",
    );
    let shared = execute(&server, &shared).await;
    let bytes = number(&shared, "peak_memory_bytes");
    assert!((f64::from(295 << 20)..f64::from(450 << 20)).contains(&bytes), "{shared}");

    let stopped = execute_within(&server, "while True: pass", Duration::from_millis(400)).await;
    let cpu_ms = number(&stopped, "cpu_ms");
    assert!(cpu_ms > 50.0 && cpu_ms <= number(&stopped, "wall_ms"), "{stopped}");
    let crashed = "x = b'x' * (100 << 20)\nimport time; time.sleep(0.3)\nimport os; os.abort()";
    let crashed = execute(&server, crashed).await;
    assert!(number(&crashed, "cpu_ms") > 10.0, "{crashed}");
    assert!(number(&crashed, "peak_memory_bytes") > f64::from(100 << 20), "{crashed}");
}

#[tokio::test]
async fn omitted_images_are_reported_to_model_and_client() {
    let server = TestServer::start("").await;
    let many = "from PIL import Image\nfor n in range(30): Image.new('L', (n + 1, 1)).show()\nprint('shown')";
    let words = "[… 10 pictures left out: the limit is 20, 10 MiB each, 32 MiB together …]\n";
    assert_eq!(run(&server, many).await.ok(), format!("shown\n{words}"));
    let answer = execute(&server, many).await;
    assert_eq!((&answer["images_left_out"], &answer["stdout"]), (&json!(10), &json!("shown\n")));
    assert_eq!(stderr_of(&answer), words);
    let large = "open('large.png', 'wb').write(b'\\x89PNG\\r\\n\\x1a\\n' + bytes(11 << 20))";
    let output = run(&server, large).await.ok();
    assert_eq!(output, "[… 1 picture left out: the limit is 20, 10 MiB each, 32 MiB together …]\n");
}

#[tokio::test]
async fn omitted_files_and_output_are_counted() {
    let server = TestServer::start("").await;
    let code = "for i in range(103): open(str(i), 'w')\nprint('x' * (3 << 20))";
    let answer = execute(&server, code).await;
    assert_eq!((&answer["outcome"], &answer["files_left_out"]), (&json!("ok"), &json!(3)));
    assert_eq!(stderr_of(&answer), "[… 3 files left out: the limit is 100, 32 MiB together …]\n");
    assert_eq!(answer["stdout_bytes_left_out"], (2 << 20) + 1);
    assert_eq!(answer["stderr_bytes_left_out"], 0);
}
