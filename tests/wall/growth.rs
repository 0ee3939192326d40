//! Memory by every way in which there is more of it: all of them are counted, and end alike.

use serde_json::{Value, json};

use crate::harness::{TestServer, Warden};
use crate::{PLACES, alive, execute, python};

/// Less memory than others have, so that it is full in no time.
fn small() -> Warden {
    Warden::start(&["--memory-mib", "512", "--wall-ms", "20000"])
}

/// An error in the code, or a run that was stopped for it. In either case somebody is told.
#[track_caller]
fn ended_for_memory(answer: &Value, way: &str) {
    let told = answer["stderr"].as_str().expect("it is text");
    let stopped = answer["limit"]["name"] == "memory_bytes";
    assert!(answer["outcome"] == "failed" && told.contains("emory"), "{way}: {answer:.500}");
    assert!(
        stopped || told.contains("MemoryError") || told.contains("[Errno 12]"),
        "{way}: {told}"
    );
}

/// [E04] [E01]
#[tokio::test]
async fn memory_is_counted_whatever_it_is_called() {
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
             print('before', flush=True)\n{way}\ntime.sleep(60)  # who counts may look a little later"
        );
        let answer = execute(&server, &code).await;
        assert_eq!(answer["stdout"], "before\n", "{way}: {answer:.500}");
        ended_for_memory(&answer, way);
        alive(&server).await;
    }
}

/// [E04] The disk has a limit of its own; mapping its files makes them memory as well.
#[tokio::test]
async fn files_in_memory_end_where_the_disk_does() {
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
async fn a_full_disk_and_full_memory_together_have_an_end() {
    // What lies on the disk is memory too, and counts once.
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

/// [G07] [E05] The code closes the channel on which the runner would say that it is done.
#[tokio::test]
async fn nobody_has_more_memory_for_hanging_up_on_us() {
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
async fn keys_that_are_made_to_collide_cost_only_the_time_of_their_run() {
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
