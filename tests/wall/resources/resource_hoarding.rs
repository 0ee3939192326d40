//! Kernel resources: a cell that takes all that it can get does not deprive others.

use serde_json::json;

use crate::{alive, execute, python, run};
use harness::TestServer;

/// Code that uses each of these resources in another cell.
const HONEST: &str = "import asyncio, os, select, subprocess\n\
    async def child():\n\
    \x20   c = await asyncio.create_subprocess_exec('echo', 'hi', stdout=subprocess.PIPE)\n\
    \x20   return (await c.communicate())[0]\n\
    kept = [os.eventfd(0), select.epoll(), *os.pipe(), open('f', 'w')]\n\
    print(asyncio.run(child()))";

/// [G09] [F14]
#[tokio::test]
async fn a_cell_that_hoards_a_resource_does_not_deprive_others() {
    let server = TestServer::start("").await;
    let hoards = [
        "kept += os.pipe(); fill(kept[-1])",
        "kept += socket.socketpair(); fill(kept[-1].fileno()); fill(kept[-2].fileno())",
        "kept.append(os.eventfd(0))",
        "kept.append(select.epoll())",
        "kept.append(os.open('f', os.O_RDWR | os.O_CREAT))",
        "kept.append(os.open(os.path.dirname(os.__file__), os.O_RDONLY))",
        "kept.append(os.dup(0))",
    ];
    for hoard in hoards {
        let code = python(&format!(
            r"
            import os, select, socket, time
            kept = []
            def fill(fd):
                os.set_blocking(fd, False)
                try:
                    while True: os.write(fd, bytes(1 << 15))
                except BlockingIOError: pass
            try:
                while len(kept) < 100_000: {hoard}
            except OSError as e: print(len(kept) > 200, e.errno, flush=True)
            time.sleep(0.3)
            "
        ));
        let honest = async {
            for _ in 0..5 {
                assert_eq!(run(&server, HONEST).await.ok(), "b'hi\\n'\n", "{hoard}");
            }
        };
        let (hoarded, ()) = tokio::join!(run(&server, &code), honest);
        // 24 is EMFILE.
        assert_eq!(hoarded.ok(), "True 24\n", "{hoard}");
        alive(&server).await;
    }
}

/// [F14] A process has three timers and cannot create more.
#[tokio::test]
async fn timers_are_limited_and_their_signals_affect_only_their_run() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, signal, time
        libc = ctypes.CDLL(None, use_errno=True)
        for number in (222, 283, 289, 289 - 7):  # timer_create, timerfd_create, signalfd4 and signalfd
            ctypes.set_errno(0); print(libc.syscall(number, 0, 0, 0, 0), ctypes.get_errno())
        count = 0
        def tick(*_):
            global count; count += 1
        for which, number in ((signal.ITIMER_REAL, signal.SIGALRM), (signal.ITIMER_VIRTUAL, signal.SIGVTALRM), (signal.ITIMER_PROF, signal.SIGPROF)):
            signal.signal(number, tick); signal.setitimer(which, 1e-4, 1e-4)
        end = time.monotonic() + 1
        while time.monotonic() < end and count < 1000: pass
        print(count > 200)
        ",
    );
    let storm = execute(&server, &code);
    let others = async {
        for _ in 0..10 {
            assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
        }
    };
    let (storm, ()) = tokio::join!(storm, others);
    assert_eq!(storm["stdout"], "-1 38\n-1 38\n-1 38\n-1 38\nTrue\n", "{storm}");
    alive(&server).await;
}

/// [F02]
#[tokio::test]
async fn oversized_arguments_and_environments_are_refused() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import subprocess
        for arguments, environment in ((['x' * 100_000] * 100, {}), ([], {str(n): 'x' * 100_000 for n in range(100)}), (['x' * (1 << 20)], {})):
            try: subprocess.run(['true', *arguments], env=environment); print('ran')
            except OSError as e: print(e.errno)
        ",
    );
    // 7 is E2BIG.
    assert_eq!(run(&server, &code).await.ok(), "7\n7\n7\n");
    alive(&server).await;
}

/// [E09]
#[tokio::test]
async fn the_number_of_memory_mappings_is_limited() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        mmap, write, leave = libc.mmap, libc.write, libc._exit
        mmap.restype = ctypes.c_long
        # Afterwards no memory may be left, not even for the first use of a function.
        write(1, b'', 0)
        n = 0
        while n < 200_000 and mmap(None, 4096, 1 + n % 2 * 2, 0x22, -1, 0) > 0: n += 1
        write(1, b'enough\n' if 10_000 < n < 200_000 else b'endless\n', 8 if n == 200_000 else 7)
        leave(0)
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "enough\n");
    alive(&server).await;
}

/// [E09] Locks use kernel memory that no memory limit covers.
#[tokio::test]
async fn file_locks_are_limited() {
    let server = TestServer::start("").await;
    let lock = |locks: u32| {
        python(&format!(
            r"
            import fcntl, time
            print('before', flush=True)
            kept = [open(f'{{n}}', 'w') for n in range(100)]
            for file in kept:
                for at in range({locks}): fcntl.lockf(file, fcntl.LOCK_EX, 1, 2 * at)
            time.sleep({seconds})
            ",
            seconds = if locks > 100 { 4 } else { 2 },
        ))
    };
    let answer = execute(&server, &lock(150)).await;
    assert_eq!(answer["limit"], json!({"name": "locks", "value": 10_000}), "{answer}");
    let words = "OSError: stopped, used more than 10000 locks of files\n";
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!("before\n"), &json!(words)));
    assert_eq!(run(&server, &lock(90)).await.ok(), "before\n");
}

/// [E09] They belong to no process, so they cannot be counted per cell. SQLite uses the other kind.
#[tokio::test]
async fn open_file_description_locks_are_refused_and_databases_work() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import fcntl, os, sqlite3, struct
        file = os.open('f', os.O_RDWR | os.O_CREAT)
        for what in (36, 37, 38):
            try: fcntl.fcntl(file, what, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 1, 0)); print('done')
            except OSError as e: print(e.errno)
        for mode in ('delete', 'wal'):
            one, other = (sqlite3.connect('d', timeout=0) for _ in range(2))
            print(one.execute(f'pragma journal_mode={mode}').fetchone())
            one.execute('create table if not exists t (x)'); one.execute('begin immediate')
            try: other.execute('begin immediate'); print('both')
            except sqlite3.OperationalError as e: print(e)
            one.rollback(); one.close(); other.close()
        ",
    );
    // 22 is EINVAL.
    let locked = "database is locked\n";
    let wanted = format!("22\n22\n22\n('delete',)\n{locked}('wal',)\n{locked}");
    assert_eq!(run(&server, &code).await.ok(), wanted);
}
