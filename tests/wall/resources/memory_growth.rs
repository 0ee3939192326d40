//! Memory of every kind: all of it counts, and exceeding the limit always has the same result.

use serde_json::{Value, json};

use crate::{PLACES, alive, execute, python};
use harness::{TestServer, Warden};

/// Less memory than the default, so that it fills quickly.
fn small() -> Warden {
    Warden::start(&["--memory-mib", "512", "--wall-ms", "20000"])
}

/// Either an error in the code, or a run that was stopped. Both name the cause.
#[track_caller]
fn ended_for_memory(answer: &Value, way: &str) {
    let output = answer["stderr"].as_str().expect("it is text");
    let stopped = answer["limit"]["name"] == "memory_bytes";
    assert!(answer["outcome"] == "failed" && output.contains("emory"), "{way}: {answer:.500}");
    assert!(
        stopped || output.contains("MemoryError") || output.contains("[Errno 12]"),
        "{way}: {output}"
    );
}

/// [E04] [E01]
#[tokio::test]
async fn memory_of_every_kind_is_counted() {
    let warden = small();
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let ways = [
        "m = mmap.mmap(-1, 1 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\nfill(m)",
        "m = mmap.mmap(-1, 1 << 30)  # shared\nfill(m)",
        "m = mmap.mmap(-1, 1 << 30, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x8000)  # populated\nfill(m)",
        "kept = [mmap.mmap(-1, 48 << 20) for _ in range(30)]\nfor m in kept: fill(m)",
        "if os.fork() == 0: fill(mmap.mmap(-1, 1 << 30)); os._exit(0)\ntime.sleep(60)",
        "import numpy\na = numpy.empty(1 << 30, 'u1'); a[:] = 1",
        "import ctypes\nlibc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p\n\
         p = libc.malloc(ctypes.c_size_t(1 << 30))\nif not p: raise MemoryError('malloc')",
        "threads = [threading.Thread(target=lambda: kept.append(bytearray(b'x') * (150 << 20))) for _ in range(6)]\n\
         kept = []\nfor t in threads: t.start()\nfor t in threads: t.join()\nif len(kept) < 6: raise MemoryError",
    ];
    for way in ways {
        let code = format!(
            "import mmap, os, threading, time\ndef fill(m):\n\
             \x20   for at in range(0, len(m), 1 << 24): m[at:at + (1 << 24)] = bytes(1 << 24)\n\
             print('before', flush=True)\n{way}\ntime.sleep(60)  # the warden may measure a little later"
        );
        let answer = execute(&server, &code).await;
        assert_eq!(answer["stdout"], "before\n", "{way}: {answer:.500}");
        ended_for_memory(&answer, way);
        alive(&server).await;
    }
}

/// [E04] The disk has its own limit; mapped files are memory as well.
#[tokio::test]
async fn files_in_memory_are_limited_by_the_disk() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import mmap
        for place in PLACES:
            path = f'{place}/x-{os.getpid()}'
            file = os.open(path, os.O_RDWR | os.O_CREAT)
            try: os.posix_fallocate(file, 0, 600 << 20); print('had it all')
            except OSError as e: print(e.errno in (27, 28))
            os.close(file); os.remove(path)
        try: os.memfd_create('x'); print('made')
        except OSError as e: print(e.errno)
        file = os.open('y', os.O_RDWR | os.O_CREAT); os.ftruncate(file, 500 << 20)
        m = mmap.mmap(file, 500 << 20)
        for at in range(0, len(m), 1 << 20): m[at] = 1
        print('touched')
        ",
    );
    let answer = execute(&server, &format!("{PLACES}{code}")).await;
    assert_eq!(answer["stdout"], "True\nTrue\nTrue\n1\ntouched\n", "{answer}");
    alive(&server).await;
}

/// [C25]
#[tokio::test]
async fn disk_and_memory_filled_together_are_limited() {
    // Files on this disk are memory too, and count once.
    let warden = Warden::start(&["--memory-mib", "512", "--scratch-mib", "200"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let fill = python(
        r"
        print('before', flush=True)
        f, n = open('big', 'wb'), 0
        try:
            while n < 1000: f.write(bytes(1 << 20)); n += 1
        except OSError as e: print(e.errno in (27, 28), n > 150, flush=True)
        ",
    );
    let room = format!("{fill}held = bytearray(b'x') * (200 << 20)\nprint('had it')");
    let answer = execute(&server, &room).await;
    assert_eq!(answer["stdout"], "before\nTrue True\nhad it\n", "{answer:.500}");
    let more =
        format!("{fill}held = []\nwhile len(held) < 40: held.append(bytearray(b'x') * (50 << 20))");
    let answer = execute(&server, &more).await;
    assert_eq!(answer["stdout"], "before\nTrue True\n");
    ended_for_memory(&answer, "after a full disk");
    alive(&server).await;
}

/// [G07] [E05] The code closes the channel on which the runner would report the end.
#[tokio::test]
async fn closing_the_control_channel_does_not_raise_the_memory_limit() {
    let warden = small();
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = python(
        r"
        import os, socket, time
        socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)
        for _ in range(4):
            if os.fork() == 0: x = bytearray(b'x') * (160 << 20); time.sleep(60)
        time.sleep(60)
        ",
    );
    let answer = execute(&server, &code).await;
    assert_eq!(answer["limit"], json!({"name": "memory_bytes", "value": 512 << 20}), "{answer}");
    alive(&server).await;
}

/// [E15]
#[tokio::test]
async fn colliding_keys_use_only_their_own_runs_time() {
    let server = TestServer::start("").await;
    let code = "class K(int):\n  def __hash__(self): return 1\nprint('before', flush=True)\n\
        d = {K(i): i for i in range(10**6)}";
    let answer = execute(&server, code).await;
    assert_eq!(
        (&answer["outcome"], &answer["stdout"]),
        (&json!("deadline_exceeded"), &json!("before\n"))
    );
    alive(&server).await;
}
