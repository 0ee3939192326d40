//! Processes: a cell sees its own, reaches no other, and their number is limited.

use crate::{alive, is_namespaced, python, run, try_each};
use harness::TestServer;

/// [F11]
#[tokio::test]
async fn no_process_of_the_machine_can_be_signalled() {
    let server = TestServer::start("").await;
    let code = format!(
        "import os\n\
         def reach(pid):\n\
         \x20   try: os.kill(pid, 0); return 'reached'\n\
         \x20   except OSError as e: return e.errno\n\
         print(reach({}), reach(os.getppid()), reach(1), {{reach(p) for p in range(3, 5000) if p != os.getpid()}})",
        std::process::id()
    );
    let output = run(&server, &code).await.ok();
    match is_namespaced(&server).await {
        // 3 is ESRCH, 1 is EPERM: init exists, and is out of reach. The parent id is 0, which addresses the own group.
        true => assert_eq!(output, "3 reached 1 {3}\n"),
        // All of them exist, and are out of reach.
        false => assert_eq!(output, "1 1 1 {1, 3}\n"),
    }
}

/// [F01]
#[tokio::test]
async fn a_fork_bomb_ends_in_an_error_and_harms_no_other_run() {
    let server = TestServer::start("").await;
    let bomb = "import os, time\n\
                n = 0\n\
                try:\n\
                \x20   while n < 500:\n\
                \x20       if os.fork() == 0: time.sleep(60); os._exit(0)\n\
                \x20       n += 1\n\
                except OSError as e: print(n, type(e).__name__)";
    let (bombed, neighbour) = tokio::join!(run(&server, bomb), run(&server, "print(1)"));
    let output = bombed.failed();
    assert!(output.ends_with("OSError: stopped, used more than 64 processes\n"), "{output}");
    assert_eq!(neighbour.ok(), "1\n");
    assert_eq!(run(&server, "print(2)").await.ok(), "2\n");
}

/// [F03]
#[tokio::test]
async fn ordinary_parallel_code_works() {
    let server = TestServer::start("").await;
    let code = "import asyncio, multiprocessing, subprocess, threading\n\
                from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\n\
                from joblib import Parallel, delayed\n\
                with multiprocessing.Pool(2) as p: print(p.map(abs, [-1, -2]))\n\
                with ProcessPoolExecutor(2) as p: print(list(p.map(abs, [-3])))\n\
                p = ThreadPoolExecutor(2); print(p.submit(abs, -4).result())  # never shut down\n\
                print(Parallel(n_jobs=2)(delayed(abs)(i) for i in [-5]))\n\
                async def child():\n\
                \x20   c = await asyncio.create_subprocess_exec('echo', '6', stdout=subprocess.PIPE)\n\
                \x20   return (await c.communicate())[0]\n\
                print(asyncio.run(child()))\n\
                t = threading.Timer(0.05, print, ['at the end']); t.start()";
    let output = run(&server, code).await.ok();
    assert_eq!(output, "[1, 2]\n[3]\n4\n[5]\nb'6\\n'\nat the end\n");
}

/// [F03]
#[tokio::test]
async fn hundreds_of_threads_can_wait_at_once() {
    let server = TestServer::start("").await;
    let code = "import threading, time\n\
        from concurrent.futures import ThreadPoolExecutor\n\
        barrier = threading.Barrier(200)\n\
        with ThreadPoolExecutor(200) as pool: print(len(set(pool.map(lambda _: barrier.wait(), range(200)))))\n\
        threads = [threading.Thread(target=time.sleep, args=[0.2]) for _ in range(300)]\n\
        for thread in threads: thread.start()\n\
        for thread in threads: thread.join()\n\
        print(len(threads))";
    assert_eq!(run(&server, code).await.ok(), "200\n300\n");
    alive(&server).await;
}

#[tokio::test]
async fn a_fork_that_reaches_the_end_of_the_code_does_not_report_for_it() {
    let server = TestServer::start("").await;
    let code = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0); print('parent')\nelse: print('child')";
    assert_eq!(run(&server, code).await.ok(), "child\nparent\n");
}

/// [F02] [F05]
#[tokio::test]
async fn threads_and_children_without_a_wait_are_limited_too() {
    let server = TestServer::start("").await;
    let threads = python(
        r"
        import threading, time
        n = 0
        try:
            threading.stack_size(1 << 16)
            while n < 600: threading.Thread(target=time.sleep, args=[60], daemon=True).start(); n += 1
        except RuntimeError as e: print(n, e)
        ",
    );
    assert_eq!(run(&server, &threads).await.ok(), "511 can't start new thread\n");
    let children = python(
        r"
        import os
        n = 0
        try:
            while n < 200:
                os.posix_spawn('/usr/bin/true', ['true'], {})
                n += 1
        except BlockingIOError: print(n)
        ",
    );
    let output = run(&server, &children).await.failed();
    assert!(output.ends_with("OSError: stopped, used more than 64 processes\n"), "{output}");
    alive(&server).await;
}

/// [F02]
#[tokio::test]
async fn a_shell_fork_bomb_ends_with_its_run() {
    let server = TestServer::start("").await;
    let bomb = "import subprocess\n\
        subprocess.run(['bash', '-c', 'n=0; f() { f | f & [ $((n+=1)) -lt 9 ] && f; }; f'], timeout=1, stderr=subprocess.DEVNULL)";
    run(&server, bomb).await;
    alive(&server).await;
    // Each process replaces itself: there is always one process.
    let chain = python(
        r"
        import os, sys
        code = 'import os, sys; n = int(sys.argv[1]); n < 5 or sys.exit(n); '
        code += 'os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:3], sys.orig_argv[3], str(n + 1)])'
        os.execv(sys.executable, [sys.executable, '-S', '-c', code, '0'])
        ",
    );
    assert_eq!(run(&server, &chain).await.failed(), "Exited with code 5\n");
    alive(&server).await;
}

/// [F17]
#[tokio::test]
async fn a_program_that_replaces_the_runner_is_confined_too() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, sys
        print('before', flush=True)
        look = [
            'import ctypes, os, resource',
            'libc = ctypes.CDLL(None, use_errno=True)',
            f'print(os.getpid() == {os.getpid()}, [fd for fd in range(64) if libc.fcntl(fd, 1) >= 0], libc.prctl(21), libc.prctl(39, 0, 0, 0, 0))',
            f'print(libc.unshare(0x10000000), resource.getrlimit(resource.RLIMIT_NPROC), os.getuid() == {os.getuid()}, libc.socket(2, 1, 0))',
            'open(chr(47) + chr(120), chr(119))',
        ]
        os.execv(sys.executable, [sys.executable, '-c', '\n'.join(look)])
        ",
    );
    let output = run(&server, &code).await.failed();
    assert!(output.starts_with("before\nTrue [0, 1, 2] 2 1\n-1 (513, 513) True -1\n"), "{output}");
    let why = match is_namespaced(&server).await {
        true => "Read-only file system",
        false => "Permission denied",
    };
    assert!(output.ends_with(&format!("{why}: '/x'\nExited with code 1\n")), "{output}");
}

/// [F11]
#[tokio::test]
async fn nothing_is_revealed_about_other_processes() {
    let server = TestServer::start("").await;
    let code = try_each("import os", &["os.sched_getaffinity(7)", "os.getpgid(7)"]);
    // 3 is ESRCH.
    assert_eq!(run(&server, &code).await.ok(), "ProcessLookupError 3\n".repeat(2));
}

/// [F11] [F12]
#[tokio::test]
async fn priorities_cannot_be_raised_and_other_processes_cannot_be_scheduled() {
    let server = TestServer::start("").await;
    let code = try_each(
        "import os",
        &[
            "os.getsid(7)",
            "os.pidfd_open(7)",
            "os.nice(-5)",
            "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
            "os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))",
            "os.setpriority(os.PRIO_PROCESS, 0, -1)",
            "os.nice(5)",
        ],
    );
    // 1 is EPERM, 13 is EACCES, 38 is ENOSYS.
    let expected = "OSError 38\nOSError 38\nPermissionError 1\n\
        PermissionError 1\nPermissionError 1\nPermissionError 13\nok\n";
    assert_eq!(run(&server, &code).await.ok(), expected);
}

#[tokio::test]
async fn the_shell_works() {
    let server = TestServer::start("").await;
    let code = "import os, subprocess\n\
        command = 'for i in 1 2 3; do echo $i; done | sort -r | head -2; echo $HOME > f; cat f; false || echo or'\n\
        output = subprocess.run(command, shell=True, capture_output=True, text=True).stdout\n\
        print(output.replace(os.environ['HOME'], 'home'), os.system('exit 3') >> 8)";
    assert_eq!(run(&server, code).await.ok(), "3\n2\nhome\nor\n 3\n");
}
