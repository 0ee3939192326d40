//! System calls that are allowed with some arguments only, and calls that succeed without effect.

use crate::{execute, is_namespaced, python, run};
use harness::{TestServer, Warden};

const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const ENOPROTOOPT: i32 = 92;
const EOPNOTSUPP: i32 = 95;

/// Objects that the calls need: a pair of sockets, a page of shared memory and a file.
const SETUP: &str = "import ctypes, mmap, os, socket\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    a, b = socket.socketpair()\n\
    one, length = ctypes.c_int(1), ctypes.c_int(4)\n\
    value, size = ctypes.byref(one), ctypes.byref(length)\n\
    page = mmap.mmap(-1, 4096)\n\
    page[:] = bytes(4096)\n\
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))\n\
    file = os.open('f', os.O_CREAT | os.O_RDWR)\n\
    code = ctypes.create_string_buffer(bytes.fromhex('060000000000ff7f'))\n\
    class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]\n\
    program = ctypes.byref(Program(1, ctypes.addressof(code)))\n\
    def call(number, *arguments):\n\
    \x20   ctypes.set_errno(0)\n\
    \x20   done = libc.syscall(number, *[ctypes.c_long(x) if isinstance(x, int) else x for x in arguments])\n\
    \x20   if done == 0 and number == 56: os._exit(0)  # a child that should not be\n\
    \x20   print(done, ctypes.get_errno())\n";

/// Arguments of a call by its number on x86-64, and the expected error.
const REFUSED: &[(&str, i32)] = &[
    // A child with an exit signal of choice: SIGCONT, SIGKILL, SIGHUP, the bits of SIGCHLD, the last.
    ("56, 18, 0, 0, 0, 0", EPERM),
    ("56, 9, 0, 0, 0, 0", EPERM),
    ("56, 1, 0, 0, 0, 0", EPERM),
    ("56, 16, 0, 0, 0, 0", EPERM),
    ("56, 255, 0, 0, 0, 0", EPERM),
    // A signal at the parent's end: SIGCONT, SIGSTOP, a real-time one.
    ("157, 1, 18, 0, 0, 0", EPERM),
    ("157, 1, 19, 0, 0, 0", EPERM),
    ("157, 1, 34, 0, 0, 0", EPERM),
    // A signal when a file is ready, and its recipient: F_SETSIG, F_SETOWN, F_SETOWN_EX.
    ("72, file, 10, 18", EPERM),
    ("72, file, 8, os.getpid()", EPERM),
    ("72, file, 15, value", EPERM),
    // F_NOTIFY, F_SETLEASE, and one that no kernel knows yet.
    ("72, file, 1026, 1", EPERM),
    ("72, file, 1024, 1", EPERM),
    ("72, file, 4000, 0", EINVAL),
    // prctl: SECCOMP with a program, TSC, MM, MCE_KILL, core scheduling, merging, futexes, a tracer, names.
    ("157, 22, 2, program, 0, 0", EPERM),
    ("157, 26, 2, 0, 0, 0", EINVAL),
    ("157, 35, 1, 0, 0, 0", EINVAL),
    ("157, 33, 1, 1, 0, 0", EINVAL),
    ("157, 62, 0, 0, 0, value", EINVAL),
    ("157, 67, 1, 0, 0, 0", EINVAL),
    ("157, 78, 1, 16, 0, 0", EINVAL),
    ("157, 0x59616d61, -1, 0, 0, 0", EINVAL),
    ("157, 0x53564d41, 0, place, 4096, b'name'", EINVAL),
    // madvise: merging, not merging, cold, paging out, breaking.
    ("28, place, 4096, 12", EINVAL),
    ("28, place, 4096, 13", EINVAL),
    ("28, place, 4096, 20", EINVAL),
    ("28, place, 4096, 21", EINVAL),
    ("28, place, 4096, 100", EINVAL),
    // renameat2 that leaves a whiteout behind; a whiteout by hand.
    ("316, -100, b'f', -100, b'g', 4", EINVAL),
    ("316, -100, b'f', -100, b'g', 5", EINVAL),
    ("259, -100, b'd', 0o020666, 0", EPERM),
    // getsockopt: SO_PEERCRED, SO_PEERSEC, SO_PEERGROUPS, SO_PEERPIDFD, SO_PASSPIDFD, SO_PASSCRED, SO_GET_FILTER,
    // SO_COOKIE, SO_MEMINFO; another level.
    ("55, 3, 1, 17, value, size", ENOPROTOOPT),
    ("55, 4, 1, 17, value, size", ENOPROTOOPT),
    ("55, 3, 1, 31, value, size", ENOPROTOOPT),
    ("55, 3, 1, 59, value, size", ENOPROTOOPT),
    ("55, 3, 1, 77, value, size", ENOPROTOOPT),
    ("55, 4, 1, 77, value, size", ENOPROTOOPT),
    ("55, 3, 1, 76, value, size", ENOPROTOOPT),
    ("55, 3, 1, 16, value, size", ENOPROTOOPT),
    ("55, a.fileno(), 1, 26, value, size", ENOPROTOOPT),
    ("55, a.fileno(), 1, 57, value, size", ENOPROTOOPT),
    ("55, a.fileno(), 1, 55, value, size", ENOPROTOOPT),
    ("55, a.fileno(), 6, 1, value, size", ENOPROTOOPT),
    // setsockopt: SO_ATTACH_FILTER, SO_ATTACH_BPF, reuseport programs, SO_LOCK_FILTER, SO_PASSCRED, SO_PASSSEC,
    // SO_PASSPIDFD, SO_PASSRIGHTS, SO_PEEK_OFF, SO_SNDBUFFORCE, SO_TIMESTAMP; another level.
    ("54, a.fileno(), 1, 26, program, 16", ENOPROTOOPT),
    ("54, a.fileno(), 1, 50, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 51, program, 16", ENOPROTOOPT),
    ("54, a.fileno(), 1, 44, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 16, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 34, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 76, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 83, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 42, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 32, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 1, 29, value, 4", ENOPROTOOPT),
    ("54, a.fileno(), 6, 1, value, 4", ENOPROTOOPT),
    // MSG_OOB, alone and with others: sendto, recvfrom, sendmsg, recvmsg.
    ("44, a.fileno(), b'x', 1, 1, 0, 0", EOPNOTSUPP),
    ("44, a.fileno(), b'x', 1, 0x4001, 0, 0", EOPNOTSUPP),
    ("45, b.fileno(), value, 1, 0x41, 0, 0", EOPNOTSUPP),
    ("46, a.fileno(), value, 1", EOPNOTSUPP),
    ("47, b.fileno(), value, 0x41", EOPNOTSUPP),
    // A backlog that could hold gigabytes.
    ("50, a.fileno(), 129", EINVAL),
    ("50, a.fileno(), -1", EINVAL),
    // Schedulers with priority over others: FIFO, RR, DEADLINE.
    ("144, 0, 1, value", EPERM),
    ("144, 0, 2, value", EPERM),
    ("144, 0, 6, value", EPERM),
];

/// Calls that return 0 without effect, with arguments that the kernel would refuse.
const DONE: &[&str] = &[
    "74, 999",                   // fsync
    "75, 999",                   // fdatasync
    "162",                       // sync
    "306, 999",                  // syncfs
    "277, 999, 0, 0, 0",         // sync_file_range
    "26, 1, 4096, 4",            // msync, waiting
    "26, 1, 4096, 6",            // the same, with MS_INVALIDATE
    "221, 999, 0, 0, 4",         // fadvise64
    "237, 1, 4096, 99, 0, 0, 0", // mbind
    "238, 99, 0, 0",             // set_mempolicy
    "251, 9, 0, 0",              // ioprio_set
    "252, 9, 0",                 // ioprio_get
    "145, 0",                    // sched_getscheduler
    "142, 0, value",             // sched_setparam
    "144, 0, 0, value",          // sched_setscheduler, the ordinary one
    "54, 999, 1, 7, value, 4",   // SO_SNDBUF
    "54, 999, 1, 8, value, 4",   // SO_RCVBUF
];

/// [H13] [H17] [F12]
#[tokio::test]
async fn unneeded_arguments_are_refused_with_an_error() {
    let server = TestServer::start("").await;
    let calls: String = REFUSED.iter().map(|(call, _)| format!("call({call})\n")).collect();
    let output = run(&server, &format!("{SETUP}{calls}")).await.ok();
    assert_eq!(output.lines().count(), REFUSED.len(), "{output}");
    for (line, (call, errno)) in output.lines().zip(REFUSED) {
        assert_eq!(line, format!("-1 {errno}"), "{call}");
    }
}

#[tokio::test]
async fn unneeded_calls_and_flushes_succeed_without_effect() {
    let server = TestServer::start("").await;
    let calls: String = DONE.iter().map(|call| format!("call({call})\n")).collect();
    let output = run(&server, &format!("{SETUP}{calls}")).await.ok();
    assert_eq!(output, "0 0\n".repeat(DONE.len()));
}

#[tokio::test]
async fn ordinary_arguments_of_the_same_calls_work() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, fcntl, mmap, os, signal, socket, sqlite3, tempfile
        libc = ctypes.CDLL(None, use_errno=True)
        for signals in (0, signal.SIGKILL, signal.SIGTERM): print(libc.prctl(1, signals, 0, 0, 0), end=' ')
        print(libc.prctl(15, b'name', 0, 0, 0))
        a, b = socket.socketpair()
        a.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        print(a.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), a.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        a.settimeout(1); a.sendall(b'x'); print(b.recv(1, socket.MSG_PEEK), b.recv(1))
        server = socket.socket(socket.AF_UNIX); server.bind(tempfile.mktemp()); server.listen(); server.listen(128)
        with open('f', 'w+b') as f:
            f.write(bytes(8192)); f.flush(); os.fsync(f.fileno()); os.fdatasync(f.fileno())
            fcntl.flock(f, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX); fcntl.fcntl(f, fcntl.F_GETFL)
            with mmap.mmap(f.fileno(), 8192) as m: m[0] = 7; m.flush(); m.madvise(mmap.MADV_DONTNEED)
        os.sync(); print(open('f', 'rb').read(1)); os.rename('f', 'g')
        os.mkfifo('p'); print(os.path.exists('p'))
        db = sqlite3.connect('d'); db.execute('create table t(a)'); db.commit(); print(db.execute('pragma integrity_check').fetchone())
        ",
    );
    let expected = "0 0 0 0\n1 0\nb'x' b'x'\nb'\\x07'\nTrue\n('ok',)\n";
    assert_eq!(run(&server, &code).await.ok(), expected);
}

#[tokio::test]
async fn scheduler_queries_are_answered() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        print(os.sched_getscheduler(0) == os.SCHED_OTHER, os.sched_getparam(0).sched_priority)
        print(os.sched_get_priority_min(os.SCHED_FIFO), os.sched_get_priority_max(os.SCHED_FIFO))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0)); os.sched_setparam(0, os.sched_param(0))
        inherited = os.getpriority(os.PRIO_PROCESS, 0)
        priorities = os.nice(0), os.nice(3), os.getpriority(os.PRIO_PROCESS, os.getpid())
        print(*(priority - inherited for priority in priorities))
        one = {min(os.sched_getaffinity(0))}
        os.sched_setaffinity(0, one); print(os.sched_getaffinity(0) == one)
        ",
    );
    let expected = "True 0\n1 99\n0 3 3\nTrue\n";
    assert_eq!(run(&server, &code).await.ok(), expected);
}

/// Every contended lock queries the scheduler, and logs a warning if that fails.
#[tokio::test]
async fn tensorflow_writes_nothing_to_standard_error() {
    // Its gigabyte may have to be read from a cold disk.
    let warden = Warden::start(&["--wall-ms", "60000"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = python(
        r"
        import numpy as np
        import tensorflow as tf
        x = np.random.rand(64, 4).astype('float32')
        model = tf.keras.Sequential([tf.keras.layers.Input((4,)), tf.keras.layers.Dense(1)])
        model.compile('adam', 'mse')
        model.fit(x, x.sum(1), epochs=3, verbose=0)
        print('trained')
        ",
    );
    let answer = execute(&server, &code).await;
    let wrote = (&answer["stdout"], &answer["stderr"]);
    assert_eq!(wrote, (&"trained\n".into(), &"".into()), "{answer:.2000}");
}

#[tokio::test]
async fn tools_that_use_older_file_calls_work() {
    let server = TestServer::start("").await;
    let code = "import subprocess\n\
        command = 'echo x > f; tar cf a.tar f; tar tf a.tar; gzip a.tar; gunzip -c a.tar.gz | tar t; sort f; sed -i s/x/y/ f; cat f'\n\
        done = subprocess.run(command, shell=True, capture_output=True, text=True)\n\
        print(done.stdout + done.stderr)";
    assert_eq!(run(&server, code).await.ok(), "f\nf\nx\ny\n\n");
}

#[tokio::test]
async fn the_limits_of_a_cells_init_cannot_be_changed() {
    let server = TestServer::start("").await;
    let init = if is_namespaced(&server).await { "1" } else { "os.getppid()" };
    let code = format!(
        "import os, resource\n\
         try: resource.prlimit({init}, resource.RLIMIT_NOFILE, (0, 0))\n\
         except OSError as e: print(e.errno)\n\
         print(resource.prlimit(0, resource.RLIMIT_CORE))"
    );
    assert_eq!(run(&server, &code).await.ok(), "1\n(0, 0)\n");
}
