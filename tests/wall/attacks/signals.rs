//! Signals: none leaves the cell, and a run ended by one is reported with its name.

use serde_json::json;

use crate::{alive, execute, is_namespaced, python, run, try_each};
use harness::TestServer;

/// [F08]
#[tokio::test]
async fn a_run_ended_by_a_signal_names_the_signal() {
    let server = TestServer::start("").await;
    let cases = [
        ("SIGHUP", "hung up (SIGHUP)"),
        ("SIGINT", "interrupted (SIGINT)"),
        ("SIGILL", "illegal instruction (SIGILL)"),
        ("SIGTRAP", "trap (SIGTRAP)"),
        ("SIGBUS", "bus error (SIGBUS)"),
        ("SIGFPE", "floating-point exception (SIGFPE)"),
        ("SIGUSR1", "user's signal 1 (SIGUSR1)"),
        ("SIGPIPE", "broken pipe (SIGPIPE)"),
        ("SIGALRM", "alarm clock (SIGALRM)"),
        ("SIGTERM", "terminated (SIGTERM)"),
        ("SIGXCPU", "CPU time limit (SIGXCPU)"),
        ("SIGXFSZ", "file too large (SIGXFSZ)"),
        ("SIGRTMIN", "signal 34"),
        ("SIGRTMAX", "signal 64"),
    ];
    for (name, words) in cases {
        let code = format!(
            "import os, signal\nsignal.signal(signal.{name}, signal.SIG_DFL)\nprint('before')\n\
             os.kill(os.getpid(), signal.{name})"
        );
        let output = run(&server, &code).await.failed();
        assert_eq!(output, format!("before\nCrashed: {words}\n"), "{name}");
    }
}

/// [F08]
#[tokio::test]
async fn real_crashes_are_reported_with_their_signal() {
    let server = TestServer::start("").await;
    let shrunk = python(
        r"
        import mmap, os
        file = os.open(f'/dev/shm/x-{os.getpid()}', os.O_RDWR | os.O_CREAT)
        os.ftruncate(file, 4096)
        memory = mmap.mmap(file, 4096)
        os.ftruncate(file, 0)
        memory[0]
        ",
    );
    let output = run(&server, &shrunk).await.failed();
    assert_eq!(output, "Crashed: bus error (SIGBUS)\n");
    let core =
        "import os\nif os.fork() == 0: os.abort()\nprint(os.wait()[1] & 0x80, os.listdir('.'))";
    assert_eq!(run(&server, core).await.ok(), "0 []\n", "no core is dumped");
}

/// [F06]
#[tokio::test]
async fn no_signal_reaches_init_or_a_process_outside() {
    let server = TestServer::start("").await;
    let test = std::process::id();
    let code = try_each(
        "import ctypes, os, signal\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         def call(*a):\n\
         \x20   if libc.syscall(*a) < 0: raise OSError(ctypes.get_errno(), '')",
        &[
            "os.kill(1, signal.SIGKILL)",
            "os.kill(1, signal.SIGTERM)",
            "os.killpg(1, signal.SIGKILL)",
            "os.kill(-1, signal.SIGKILL)",
            "signal.pidfd_send_signal(os.pidfd_open(1), signal.SIGKILL)",
            "call(234, 1, 1, 9)  # tgkill",
            "call(200, 1, 9)  # tkill",
            "call(129, 1, 9, 0)  # rt_sigqueueinfo",
            &format!("os.kill({test}, 0)"),
            &format!("os.pidfd_open({test})"),
        ],
    );
    let output = run(&server, &code).await.ok();
    // On a shared root other processes exist, and a signal to all own processes, of which there are no others,
    // succeeds; group 1 also means all.
    let (all, absent) = match is_namespaced(&server).await {
        true => ("ProcessLookupError 3", "ProcessLookupError 3"),
        false => ("ok", "PermissionError 1"),
    };
    // 1 is EPERM, 3 is ESRCH, 38 is ENOSYS.
    let expected = [
        "PermissionError 1",
        "PermissionError 1",
        all,
        all,
        "OSError 38",
        "PermissionError 1",
        "OSError 38",
        "OSError 38",
        absent,
        "OSError 38",
    ];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
    alive(&server).await;
}

/// [F06]
#[tokio::test]
async fn a_run_that_kills_all_processes_kills_only_its_own() {
    let server = TestServer::start("").await;
    let neighbour = "import time\nfor _ in range(20): time.sleep(0.02)\nprint('unharmed')";
    let killer = "import os, signal\nprint('before')\nos.kill(0, signal.SIGKILL)";
    let (unharmed, killed) = tokio::join!(run(&server, neighbour), run(&server, killer));
    assert_eq!(unharmed.ok(), "unharmed\n");
    assert_eq!(killed.failed(), "before\nCrashed: killed (SIGKILL)\n");
    alive(&server).await;
}

/// [D02]
#[tokio::test]
async fn a_run_that_stops_itself_is_ended_at_the_time_limit() {
    let server = TestServer::start("").await;
    let code = "import os, signal\nprint('before')\nos.kill(os.getpid(), signal.SIGSTOP)";
    let answer = execute(&server, code).await;
    assert_eq!(
        (&answer["outcome"], &answer["stdout"]),
        (&json!("deadline_exceeded"), &json!("before\n"))
    );
    alive(&server).await;
}

/// [D07] [F09]
#[tokio::test]
async fn no_process_survives_by_leaving_its_parent() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os, time
        libc = ctypes.CDLL(None)
        print(libc.prctl(1, 0), libc.prctl(36, 1), libc.prctl(4, 0))  # no death signal, a reaper, not dumpable
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(0.3)
                print('late', flush=True)
                time.sleep(1000)
            os._exit(0)
        print('done')
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "0 0 0\ndone\n");
    alive(&server).await;
}
