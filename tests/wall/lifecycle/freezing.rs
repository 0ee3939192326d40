//! Between two runs all processes of a cell are frozen, and still count against its limits.

use std::time::{Duration, Instant};

use sandbox_client::{CellClient, Expected, RunOutput, Sandbox};

use crate::python;
use harness::{Warden, below};

/// Number of runs that each leave processes running for a moment.
const RUNS: u32 = 20;
/// Time that the model takes.
const IDLE: Duration = Duration::from_millis(1500);

/// Code that records the longest time in which it made no progress.
const WATCH: &str = "import os, sys, threading, time\n\
    def watch(name):\n\
    \x20   last, longest = time.monotonic(), 0\n\
    \x20   while True:\n\
    \x20       now = time.monotonic()\n\
    \x20       if now - last > longest:\n\
    \x20           longest = now - last\n\
    \x20           with open(name + '.new', 'w') as f: f.write(str(longest))\n\
    \x20           os.rename(name + '.new', name)\n\
    \x20       last = now\n\
    def started(*names):\n\
    \x20   while not all(map(os.path.exists, names)): time.sleep(0.001)\n";

async fn open(warden: &Warden) -> CellClient {
    let sandbox = Sandbox::at(warden.socket(), protocol::Tier::Landlocked);
    sandbox.ready().await.expect("the warden comes up");
    sandbox.open(Expected::First(""), []).await.expect("there is a cell")
}

#[track_caller]
fn stdout(output: &RunOutput) -> &str {
    std::str::from_utf8(&output.stdout).expect("it is text")
}

/// State and CPU time of a process, from the kernel.
fn state(process: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
    Some((fields[0].chars().next()?, ticks))
}

/// The stopped processes, as soon as there are this many.
async fn stopped(warden: &Warden, count: usize) -> Vec<(i32, u64)> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let look = |id: i32| match state(id) {
            Some(('T', ticks)) => Some((id, ticks)),
            _ => None,
        };
        let found: Vec<_> = below(warden.id()).into_iter().filter_map(look).collect();
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < deadline, "only {found:?} are stopped");
        tokio::task::yield_now().await;
    }
}

/// [K06]
#[tokio::test]
async fn threads_children_and_orphans_are_frozen_between_two_runs_and_then_continue() {
    let warden = Warden::start(&["--standbys", "1"]);
    let mut cell = open(&warden).await;
    let leave = format!(
        "{WATCH}{}",
        python(
            r"
            threading.Thread(target=watch, args=['thread'], daemon=True).start()
            if os.fork() == 0: watch('child')
            if os.fork() == 0:
                if os.fork() == 0: os.setsid(); watch('orphan')
                os._exit(0)
            started('thread', 'child', 'orphan')
            print('left')
            "
        )
    );
    let left = cell.run(&leave).await.expect("the warden is there");
    assert_eq!(stdout(&left), "left\n");

    let still = stopped(&warden, 3).await;
    tokio::time::sleep(IDLE).await; // the test depends on real time
    for (process, ticks) in still {
        assert_eq!(state(process), Some(('T', ticks)), "process {process} moved");
    }

    let look = python(
        r"
        def longest(name): return float(open(name).read())
        while min(map(longest, ('thread', 'child', 'orphan'))) < 1: time.sleep(0.001)
        print('all went on')
        ",
    );
    let looked = cell.run(&look).await.expect("the cell is still there");
    assert_eq!(stdout(&looked), "all went on\n");
}

/// [K06]
#[tokio::test]
async fn no_process_escapes_freezing() {
    let runaways = [
        // Signals its end, and continues.
        "import os\nos.write(3, b'\\0')\nwhile True: pass",
        // Forks continually, so that its process id always changes.
        "import os\n\
         if os.fork() == 0:\n\
         \x20   while True:\n\
         \x20       try: child = os.fork()\n\
         \x20       except BlockingIOError: continue\n\
         \x20       if child != 0: os._exit(0)",
        "import os, signal\n\
         for s in range(1, 65):\n\
         \x20   try: signal.signal(s, signal.SIG_IGN)\n\
         \x20   except (OSError, ValueError): pass\n\
         if os.fork() == 0:\n\
         \x20   while True: os.kill(os.getpid(), signal.SIGCONT)",
    ];
    let warden = Warden::start(&["--standbys", "1"]);
    for runaway in runaways {
        let mut cell = open(&warden).await;
        let left = cell.run(runaway).await.expect("the warden is there");
        assert!(!left.finished.cell_lost, "{runaway}");
        let still = stopped(&warden, if runaway.contains("fork") { 2 } else { 1 }).await;
        tokio::time::sleep(IDLE / 3).await;
        for (process, ticks) in still {
            assert_eq!(state(process), Some(('T', ticks)), "{runaway}");
        }
    }
}

/// [K06]
#[tokio::test]
async fn processes_left_by_a_run_count_in_the_next_one() {
    let warden = Warden::start(&["--standbys", "1"]);
    let mut cell = open(&warden).await;
    let sleepers =
        "import os, time\nfor _ in range(60):\n  if os.fork() == 0: time.sleep(60); os._exit(0)";
    assert_eq!(
        cell.run(sleepers).await.expect("the warden is there").finished.outcome,
        protocol::RunOutcome::Ok
    );
    let more = "for _ in range(10):\n  if os.fork() == 0: time.sleep(60); os._exit(0)";
    let outcome = cell.run(more).await.expect("the cell is there").finished.outcome;
    assert_eq!(outcome.limit(), Some(protocol::Limit::Processes(64)), "{outcome:?}");

    // Not for the sleepers above: sixty forks take a busy machine longer than that.
    let warden = Warden::start(&["--standbys", "1", "--memory-mib", "512", "--cpu-ms", "1000"]);
    for (first, then, limit) in [
        (
            "import os, time\nif os.fork() == 0: x = b'x' * (300 << 20); open('f', 'w'); time.sleep(60)\n\
             while not os.path.exists('f'): time.sleep(0.001)",
            "x = b'x' * (300 << 20); time.sleep(60)",
            protocol::Limit::MemoryBytes(512 << 20),
        ),
        (
            "import os, time\nif os.fork() == 0:\n  while True: pass",
            "time.sleep(60)",
            protocol::Limit::CpuMs(1000),
        ),
    ] {
        let mut cell = open(&warden).await;
        let outcome = cell.run(first).await.expect("the warden is there").finished.outcome;
        assert_eq!(outcome, protocol::RunOutcome::Ok);
        let outcome = cell.run(then).await.expect("the cell is there").finished.outcome;
        assert_eq!(outcome, protocol::RunOutcome::Stopped { limit });
    }
}

/// A process that takes long to die after the end of the run, because it has memory to free.
const DYING: &str = "import ctypes, fcntl, mmap, os, signal, socket, threading, time\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    def hold():\n\
    \x20   memory = mmap.mmap(-1, 700 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n\
    \x20   memory.madvise(mmap.MADV_NOHUGEPAGE)\n\
    \x20   for at in range(0, 700 << 20, 4096): memory[at] = 1\n\
    \x20   open('held', 'w').close()\n\
    \x20   while True: time.sleep(60)\n";

/// Ways to make the kernel send SIGCONT, when the process `dying` dies, to the process in which `watch`
/// runs.
const WAKING: &[(&str, &str)] = &[
    (
        "the signal of a child's end",
        r"
        dying = libc.syscall(56, signal.SIGCONT, 0, 0, 0, 0)
        if dying == 0: hold()
        if dying < 0 and (dying := os.fork()) == 0: hold()
        threading.Thread(target=watch, args=['watch'], daemon=True).start()
        ",
    ),
    (
        "the signal of a parent's end",
        r"
        if (dying := os.fork()) == 0:
            if os.fork() == 0: libc.prctl(1, signal.SIGCONT); watch('watch')
            hold()
        ",
    ),
    (
        "the signal of a file that is ready",
        r"
        ours, theirs = socket.socketpair()
        if (dying := os.fork()) == 0: ours.close(); hold()
        theirs.close()
        for what, value in ((8, os.getpid()), (10, signal.SIGCONT), (fcntl.F_SETFL, os.O_ASYNC)):
            try: fcntl.fcntl(ours, what, value)
            except OSError: pass
        threading.Thread(target=watch, args=['watch'], daemon=True).start()
        ",
    ),
    (
        "the signal to a group of processes that becomes an orphan",
        r"
        if (dying := os.fork()) == 0:
            if os.fork() == 0:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                os.setpgid(0, 0)
                watch('watch')
            hold()
        ",
    ),
];

/// [K06]
#[tokio::test]
async fn processes_dying_while_frozen_wake_no_other_process() {
    let mut woken = Vec::new();
    for (way, wake) in WAKING {
        let warden = Warden::start(&["--standbys", "1"]);
        let mut cell = open(&warden).await;
        let code = format!(
            "{WATCH}{DYING}{}started('watch', 'held'); os.kill(dying, signal.SIGKILL); print('left')",
            python(wake)
        );
        let left = cell.run(&code).await.expect("the warden is there");
        assert_eq!(stdout(&left), "left\n", "{way}: {}", String::from_utf8_lossy(&left.stderr));
        tokio::time::sleep(IDLE).await; // the test depends on real time
        // It has recorded its longest pause once it runs again.
        let look = "def longest(): return float(open('watch').read())\n\
            until = time.monotonic() + 1\n\
            while longest() < 1 and time.monotonic() < until: time.sleep(0.001)\n\
            print(longest() >= 1)";
        let looked = cell.run(look).await.expect("the cell is still there");
        if stdout(&looked) != "True\n" {
            woken.push(way);
        }
    }
    assert!(woken.is_empty(), "these continued between two runs: {woken:?}");
}

/// [K06]
#[tokio::test]
async fn cpu_time_between_two_runs_counts_for_the_second() {
    let warden = Warden::start(&["--standbys", "1"]);
    let mut cell = open(&warden).await;
    let burn = "import threading, time\n\
        def burn():\n\
        \x20   while True: pass\n\
        before = time.process_time()\n\
        threading.Thread(target=burn, daemon=True).start()";
    let mut counted = cell.run(burn).await.expect("the warden is there").finished.usage.cpu_us;
    for _ in 0..RUNS {
        tokio::time::sleep(IDLE / 50).await; // the test depends on real time
        counted += cell.run("pass").await.expect("the cell is there").finished.usage.cpu_us;
    }
    let last = cell.run("print(time.process_time() - before)").await.expect("the cell is there");
    counted += last.finished.usage.cpu_us;
    let used: f64 = stdout(&last).trim().parse().expect("it is a number");
    // CPU time that the last run used after its measurement is not in `used`, but was counted.
    assert!(counted as f64 / 1e6 >= used, "{counted} µs were counted of {used} s");
}

/// [K06]
///
/// It waits for its child uninterruptibly, and the child is stopped.
#[tokio::test]
async fn a_parent_waiting_for_exec_in_its_child_does_not_lose_its_cell() {
    let warden = Warden::start(&["--standbys", "1"]);
    let mut cell = open(&warden).await;
    let code = python(
        r"
        import ctypes, os, threading, time
        libc = ctypes.CDLL(None)
        os.mkfifo('p')
        actions = ctypes.create_string_buffer(256)
        libc.posix_spawn_file_actions_init(actions)
        libc.posix_spawn_file_actions_addopen(actions, 0, b'p', os.O_RDONLY, 0)
        child, kept = ctypes.c_int(0), 1
        arguments = (ctypes.c_char_p * 2)(b'true', None)
        spawn = lambda: print(libc.posix_spawn(ctypes.byref(child), b'/usr/bin/true', actions, None, arguments, None))
        thread = threading.Thread(target=spawn, daemon=True)
        thread.start()
        ",
    );
    let left = cell.run(&code).await.expect("the warden is there");
    assert!(!left.finished.cell_lost, "{:?}", left.finished);
    tokio::time::sleep(IDLE).await; // the test depends on real time
    let go_on = "os.close(os.open('p', os.O_WRONLY)); thread.join(); print(kept)";
    let went_on = cell.run(go_on).await.expect("the cell is still there");
    assert_eq!(stdout(&went_on), "0\n1\n");
}
