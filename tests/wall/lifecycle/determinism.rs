//! Random numbers and clock: different in every cell, unless the warden has a seed.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use crate::{python, run};
use harness::{TestServer, Warden};

/// Code that prints a line for each source of random numbers.
fn random_numbers() -> String {
    python(
        r"
        import ctypes, os, random, secrets, subprocess, sys, uuid
        import numpy as np
        from sklearn.model_selection import train_test_split
        from sympy.core.random import rng
        print(random.random())
        print(random.Random().random())
        print(rng.random())
        print(np.random.rand())
        print(np.random.default_rng().random())
        print(train_test_split(range(1000))[0][:5])
        print(uuid.uuid4())
        print(secrets.token_hex())
        print(os.urandom(8).hex())
        print(ctypes.CDLL(None).rand())
        for _ in range(2):
            r, w = os.pipe()
            if os.fork() == 0: os.write(w, os.urandom(8).hex().encode()); os._exit(0)
            print(os.read(r, 100))
        print(subprocess.run([sys.executable, '-S', '-c', 'import random; print(random.random())'], capture_output=True))
        ",
    )
}

/// TensorFlow takes seconds to import.
const TENSORFLOW: &str = "import tensorflow as tf\n\
    print(tf.random.normal([3]).numpy().tolist())\n\
    print(tf.keras.layers.Dense(2)(tf.ones([1, 2])).numpy().tolist())";

/// Code that prints the time, and the order of a set.
fn clock() -> String {
    python(
        r"
        import datetime, subprocess, time
        import numpy as np, pandas as pd
        print(time.time())
        print(datetime.datetime.now())
        print(datetime.date.today(), pd.Timestamp.now(), np.datetime64('now'))
        print(time.strftime('%F %T %Z'), time.time_ns(), time.clock_gettime(time.CLOCK_REALTIME))
        print(hash('text'), {'spam', 'eggs', 'bacon', 'ham'})
        print(subprocess.run(['date', '+%F %T'], capture_output=True, text=True))
        ",
    )
}

fn seeded(seed: &str) -> Warden {
    // The kit with TensorFlow takes a while to start, and this test needs it.
    Warden::start(&[
        "--seed",
        seed,
        "--wall-ms",
        "60000",
        "--standbys",
        "2",
        "--queue-ms",
        "120000",
    ])
}

async fn server(warden: &Warden) -> TestServer {
    TestServer::builder().sandbox(&warden.socket()).start().await
}

#[tokio::test]
async fn without_a_seed_no_random_number_repeats() {
    let warden = Warden::start(&["--wall-ms", "60000"]);
    let server = server(&warden).await;
    let mut seen = HashSet::new();
    for code in [&random_numbers(), &random_numbers(), &random_numbers(), TENSORFLOW, TENSORFLOW] {
        for line in run(&server, code).await.ok().lines() {
            assert!(seen.insert(line.to_owned()), "{line} came twice");
        }
    }
}

#[tokio::test]
async fn all_cells_with_the_same_seed_are_alike_and_other_seeds_differ() {
    let (one, again, other) = (seeded("7"), seeded("7"), seeded("8"));
    let (one, again, other) = (server(&one).await, server(&again).await, server(&other).await);
    for code in [&random_numbers(), TENSORFLOW] {
        let thrown = run(&one, code).await.ok();
        assert_eq!(run(&one, code).await.ok(), thrown, "in another cell");
        assert_eq!(run(&again, code).await.ok(), thrown, "in a cell of another warden");
        let lines: HashSet<_> = thrown.lines().collect();
        assert_eq!(lines.len(), thrown.lines().count(), "each kind throws something else");
        for line in run(&other, code).await.ok().lines() {
            assert!(!lines.contains(line), "{line} with either seed");
        }
    }
    let output = run(&one, &clock()).await.ok();
    assert!(output.starts_with("1767225600.0\n2026-01-01 00:00:00.000001\n"), "{output}");
    assert!(output.contains("stdout='2026-01-01 00:00:00\\n', stderr=''"), "{output}");
    assert_eq!(run(&one, &clock()).await.ok(), output, "in another cell");
    assert_eq!(run(&again, &clock()).await.ok(), output, "in a cell of another warden");
}

#[tokio::test]
async fn time_passes_with_a_seed() {
    let warden = seeded("7");
    let server = server(&warden).await;
    let code = python(
        r"
        import multiprocessing, threading, time
        began, end = time.monotonic(), time.time() + 1.5
        while time.time() < end: pass
        print(time.monotonic() - began < 10)  # each look at the clock makes it later, too
        for lock in (multiprocessing.Lock(), threading.Lock()):
            lock.acquire()
            began = time.monotonic()
            print(lock.acquire(timeout=0.3), 0.29 < time.monotonic() - began < 5)
        times = [time.time() for _ in range(10_000)]
        print(times == sorted(set(times)))
        time.sleep(2)
        print(time.time() - times[-1] >= 1)
        ",
    );
    let output = run(&server, &code).await.ok();
    assert_eq!(output, "True\nFalse True\nFalse True\nTrue\nTrue\n");
}

#[tokio::test]
async fn without_a_seed_the_clock_is_right() {
    let server = TestServer::start("").await;
    let output = run(&server, "import os, time; print(time.time(), os.environ.get('LD_PRELOAD'))");
    let output = output.await.ok();
    let (seconds, preload) = output.trim().split_once(' ').expect("there are two words");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later");
    let seconds = Duration::from_secs_f64(seconds.parse().expect("it is a number"));
    assert!(now.abs_diff(seconds) < Duration::from_secs(60), "{output}");
    assert_eq!(preload, "None");
}
