//! Runs beside an attack: none may be delayed by half a second.
//!
//! Eight of them print a number every 50 ms and measure the gaps. The gaps without an attack are measured
//! in the same test; they depend on the machine and not on the isolation.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use crate::{alive, execute_within, python, run};
use harness::TestServer;

const NEIGHBOURS: usize = 8;
/// The longest delay that an attack may cause.
const MOST: Duration = Duration::from_millis(500);
/// Time between two numbers.
const STEP: Duration = Duration::from_millis(50);
/// An attack is repeated as long as the other runs last.
const ATTACK: Duration = Duration::from_secs(3);

const COUNT: &str = "import time\n\
    last = time.monotonic(); worst = 0\n\
    for i in range(50):\n\
    \x20   time.sleep(0.05); print(i, flush=True)\n\
    \x20   now = time.monotonic(); worst = max(worst, now - last); last = now\n\
    print(worst)";

/// The longest gap of any of them.
async fn worst_gap(server: &TestServer) -> Duration {
    let neighbours = join_all((0..NEIGHBOURS).map(|_| run(server, COUNT))).await;
    let gaps = neighbours.into_iter().map(|neighbour| {
        let output = neighbour.ok();
        let lines: Vec<_> = output.lines().collect();
        assert_eq!((lines.len(), lines[49]), (51, "49"), "nothing is lost");
        Duration::from_secs_f64(lines[50].parse().expect("a number"))
    });
    gaps.max().expect("there are some")
}

/// Checks that an attack really happened.
type Proof = fn(&Value) -> bool;

/// Repeats the attack while the other runs count, and checks that it really happened.
async fn worst_gap_beside(server: &TestServer, attack: &str, proof: Proof) -> Duration {
    let over = Cell::new(false);
    let neighbours = async {
        let gap = worst_gap(server).await;
        over.set(true);
        gap
    };
    let attacks = async {
        let mut answers = Vec::new();
        while !over.get() {
            answers.push(execute_within(server, attack, ATTACK).await);
        }
        answers
    };
    let (gap, answers) = tokio::join!(neighbours, attacks);
    assert!(answers.iter().any(proof), "no attack: {attack}\n{:.1000}", answers[0]);
    gap
}

async fn no_run_is_delayed_by_half_a_second(attacks: &[(&str, Proof)]) {
    let server = TestServer::start("").await;
    let mut lost = Vec::new();
    for (attack, proof) in attacks {
        let calm = worst_gap(&server).await;
        let attacked = worst_gap_beside(&server, &python(attack), *proof).await;
        if attacked.saturating_sub(calm.saturating_sub(STEP)) > MOST {
            lost.push(format!("{attacked:?}, and {calm:?} without it: {attack}"));
        }
        alive(&server).await;
    }
    assert!(lost.is_empty(), "neighbours stood still for\n{}", lost.join("\n"));
}

fn prints(answer: &Value, words: &str) -> bool {
    answer["stdout"].as_str().is_some_and(|stdout| stdout.contains(words))
}

fn out_of_time(answer: &Value) -> bool {
    answer["outcome"] == "deadline_exceeded"
}

fn did_it(answer: &Value) -> bool {
    prints(answer, "did it")
}

/// [D16] [D15]
#[tokio::test]
async fn runs_that_use_all_processors_or_processes_delay_no_other_run() {
    no_run_is_delayed_by_half_a_second(&[
        ("import os\nos.fork(); os.fork(); os.fork()\nwhile True: pass", out_of_time),
        (
            "import os\nwhile True:\n  try: os.fork() == 0 and os.write(1, b'.')\n  except OSError: pass",
            |answer| prints(answer, &".".repeat(10)),
        ),
        (
            "import hashlib, threading\ndata, go = bytes(1 << 20), threading.Event()\ndef work():\n  go.wait()\n  while True: hashlib.sha256(data)  # beside all other threads\ntry:\n  while True: threading.Thread(target=work).start()\nexcept RuntimeError: print('did it', flush=True); go.set()",
            did_it,
        ),
        (
            "import os\nfor n in range(10**6):\n  os.waitpid(os.posix_spawn('/usr/bin/true', ['true'], {}), 0)\n  n == 50 and print('did it', flush=True)",
            did_it,
        ),
        (
            "import signal, time\nn = 0\ndef f(*a):\n  global n; n += 1; n == 1000 and print('did it', flush=True)\nsignal.signal(signal.SIGALRM, f); signal.setitimer(signal.ITIMER_REAL, 1e-5, 1e-5)\nwhile True: pass",
            // On a slow machine it is busy with signals only, which is as much of an attack.
            |answer| did_it(answer) || out_of_time(answer),
        ),
    ])
    .await;
}

/// [G01] [G03]
#[tokio::test]
async fn runs_that_flood_their_output_delay_no_other_run() {
    no_run_is_delayed_by_half_a_second(&[
        ("while True: print('x' * 100_000)", |answer| answer["limit"]["name"] == "output_bytes"),
        ("while True: print()", |answer| out_of_time(answer) || answer["limit"]["name"] == "output_bytes"),
        ("import os\nwhile True: os.write(2, bytes(1 << 16))", |answer| {
            answer["stderr"].as_str().is_some_and(|text| text.contains("bytes left out"))
        }),
        (
            "import os, time\nend = time.monotonic() + 2; written = 0\nwhile time.monotonic() < end: written += os.write(4, bytes(1 << 16))\nprint(written > 1 << 20 and 'did it')",
            did_it,
        ),
        (
            "import os, struct\nbody = bytes(1 << 20)\nfor i in range(25):\n  data = b'\\x89PNG\\r\\n\\x1a\\n' + struct.pack('!I', i) + body\n  data = struct.pack('!I', len(data)) + data\n  while data: data = data[os.write(4, data):]",
            |answer| answer["images"].as_array().is_some_and(|images| images.len() > 5),
        ),
    ])
    .await;
}

/// [C15] [C23] [C24]
#[tokio::test]
async fn runs_that_fill_their_disk_delay_no_other_run() {
    no_run_is_delayed_by_half_a_second(&[
        (
            "import os, tempfile\nos.chdir(tempfile.gettempdir())\nwhile True:\n  for n in range(2000): open(f'{n}', 'w').close()\n  for n in range(2000): os.remove(f'{n}')\n  print('did it', flush=True)",
            did_it,
        ),
        ("for n in range(9000): open(f'{n}', 'w').close()\nprint('did it')", |answer| {
            out_of_time(answer) || answer["files_left_out"] == 8900
        }),
        (
            "import os\nwhile True:\n  f = os.open('x', os.O_CREAT | os.O_RDWR)\n  try:\n    while True: os.write(f, bytes(1 << 20))\n  except OSError: os.write(1, b'did it'); os.ftruncate(f, 0); os.close(f)",
            |answer| out_of_time(answer) || did_it(answer),
        ),
        (
            "import os, ctypes\nlibc = ctypes.CDLL(None); open('a', 'w'); open('b', 'w'); print('did it', flush=True)\nfor _ in range(3): os.fork()\nwhile True: libc.renameat2(-100, b'a', -100, b'b', 2)",
            did_it,
        ),
    ])
    .await;
}

/// [E11] [G09]
#[tokio::test]
async fn runs_that_fill_their_memory_delay_no_other_run() {
    no_run_is_delayed_by_half_a_second(&[
        ("while True:\n  x = bytearray(b'x') * (200 << 20); print('did it', flush=True)", did_it),
        (
            "import mmap\nm = mmap.mmap(-1, 1 << 30)\nwhile True:\n  for at in range(0, 1 << 30, 4096): m[at] = 1\n  m.madvise(mmap.MADV_REMOVE if hasattr(mmap, 'MADV_REMOVE') else 9)",
            out_of_time,
        ),
        (
            "import ctypes, os\nlibc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p\np = libc.mmap(None, 64 << 20, 3, 0x22, -1, 0)\nfor _ in range(2): os.fork()\nwhile True: libc.mprotect(ctypes.c_void_p(p), 64 << 20, 1); libc.mprotect(ctypes.c_void_p(p), 64 << 20, 3); ctypes.memset(p, 1, 1 << 20)",
            out_of_time,
        ),
        (
            "import socket\nkept = []\ntry:\n  while True:\n    a, b = socket.socketpair(); kept += [a, b]; a.setblocking(False)\n    try:\n      while True: a.send(bytes(1 << 15))\n    except BlockingIOError: pass\nexcept OSError: print('did it', flush=True)\nwhile True: pass",
            out_of_time,
        ),
        (
            "import os\nwhile True:\n  for d, _, files in os.walk('/usr/lib'):\n    for f in files:\n      if os.path.isfile(p := d + '/' + f): open(p, 'rb').read()",
            out_of_time,
        ),
    ])
    .await;
}

/// [D16]
#[tokio::test]
async fn short_runs_stay_short_beside_runs_that_use_all_processors() {
    let server = TestServer::start("").await;
    let worst_of_thirty = async || {
        let mut worst = Duration::ZERO;
        for _ in 0..30 {
            let began = Instant::now();
            assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
            worst = worst.max(began.elapsed());
        }
        worst
    };
    let idle = worst_of_thirty().await;
    let processors = std::thread::available_parallelism().expect("it is known").get();
    let over = Cell::new(false);
    let hogs = join_all((0..2 * processors).map(|_| async {
        while !over.get() {
            assert!(out_of_time(&execute_within(&server, "while True: pass", ATTACK).await));
        }
    }));
    let beside = async {
        let busy = worst_of_thirty().await;
        assert_eq!(server.get("/healthz").await.status, 200);
        over.set(true);
        busy
    };
    let (busy, _) = tokio::join!(beside, hogs);
    assert!(busy <= idle * 10, "{busy:?}, where {idle:?} is the worst without them");
}
