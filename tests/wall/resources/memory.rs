//! Memory: allocating too much is an error in the code.

use serde_json::json;

use crate::{PLACES, alive, execute, is_namespaced, python, run};
use harness::{TestServer, Warden};

/// [E01] [E03]
#[tokio::test]
async fn too_much_memory_is_a_memory_error() {
    let server = TestServer::start("").await;
    for code in ["x = bytearray(3 << 30)", "import numpy as np\nx = np.ones((10**6, 10**4))"] {
        let output = run(&server, code).await.failed();
        assert!(output.contains("MemoryError"), "{code}:\n{output}");
    }
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// [E05]
///
/// Each of them uses less than the limit of a process.
#[tokio::test]
async fn the_memory_limit_applies_to_all_processes_of_a_cell_together() {
    // Filling so much memory takes a busy machine longer than the tests' time limit.
    let warden = Warden::start(&["--standbys", "1"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = "import os, time\n\
        print('before', flush=True)\n\
        for _ in range(4):\n\
        \x20   if os.fork() == 0:\n\
        \x20       x = bytearray(b'x') * (600 << 20)\n\
        \x20       time.sleep(60)\n\
        time.sleep(60)";
    let output = run(&server, code).await.failed();
    assert_eq!(output, "before\nMemoryError: stopped, used more than 2048 MiB of memory\n");
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// Memory that is not allocated by one process counts like any other.
#[tokio::test]
async fn shared_memory_and_files_in_memory_count_as_memory() {
    let warden = Warden::start(&["--memory-mib", "512", "--scratch-mib", "256"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    // On a shared root the other folders are on a disk.
    let in_memory = if is_namespaced(&server).await { "PLACES" } else { "PLACES[2:] * 3" };
    let with_files = format!(
        "{PLACES}for n, d in enumerate({in_memory}):\n\
         \x20   with open(f'{{d}}/{{n}}-{{os.getpid()}}', 'wb', 0) as f: [f.write(bytes(1 << 20)) for _ in range(80)]\n\
         x = b'x' * (400 << 20)\nimport time; time.sleep(60)"
    );
    let cases = [
        "import mmap, numpy as np\nx = np.frombuffer(mmap.mmap(-1, 1 << 30), 'u1')\nx[::4096] = 1",
        // Neither the files nor the process alone exceeds the limit.
        &with_files,
        // Mapped files count once, and files that are not mapped count too.
        "import mmap, os, time\n\
         f = open(f'/dev/shm/f-{os.getpid()}', 'w+b'); f.truncate(150 << 20)\n\
         m = mmap.mmap(f.fileno(), 150 << 20); m.write(bytes(150 << 20))\n\
         x = b'x' * (250 << 20); time.sleep(0.5); print('both fit', flush=True)\n\
         open(f'/dev/shm/g-{os.getpid()}', 'wb').write(bytes(100 << 20)); y = b'y' * (100 << 20)\n\
         time.sleep(60)",
        // Each uses less than the limit of a process.
        "import os, time\n\
         for _ in range(8):\n\
         \x20   if os.fork() == 0: x = b'x' * (100 << 20); time.sleep(60)\n\
         time.sleep(60)",
    ];
    for code in cases {
        let answer = execute(&server, &format!("print('before', flush=True)\n{code}")).await;
        assert_eq!(answer["outcome"], "failed", "{code}: {answer}");
        assert_eq!(answer["limit"], json!({"name": "memory_bytes", "value": 512 << 20}), "{code}");
        let output = answer["stderr"].as_str().expect("it is text");
        let words = "MemoryError: stopped, used more than 512 MiB of memory\n";
        assert!(output.starts_with(words), "{code}: {answer}");
        let stdout = if code.contains("both fit") { "before\nboth fit\n" } else { "before\n" };
        assert_eq!(answer["stdout"], stdout, "{code}");
        alive(&server).await;
    }
    let file = run(&server, "import os; os.memfd_create('x')").await.failed();
    assert!(file.contains("PermissionError"), "{file}");
}

#[tokio::test]
async fn the_promised_memory_is_available() {
    let server = TestServer::start("").await;
    // Not touched, so that the test uses no memory.
    assert_eq!(
        run(&server, "import mmap\nm = mmap.mmap(-1, 1900 << 20)\nprint(len(m) >> 20)").await.ok(),
        "1900\n"
    );
}

/// [E14]
#[tokio::test]
async fn limits_cannot_be_raised() {
    let server = TestServer::start("").await;
    let code = "import resource as r\n\
        for limit in (r.RLIMIT_DATA, r.RLIMIT_NPROC, r.RLIMIT_NOFILE, r.RLIMIT_FSIZE, r.RLIMIT_CORE):\n\
        \x20   soft, hard = r.getrlimit(limit)\n\
        \x20   assert hard != r.RLIM_INFINITY, limit\n\
        \x20   try: r.setrlimit(limit, (r.RLIM_INFINITY, r.RLIM_INFINITY)); print('raised')\n\
        \x20   except (ValueError, OSError) as e: print(type(e).__name__)";
    assert_eq!(run(&server, code).await.ok(), "ValueError\n".repeat(5));
}

/// [E02]
#[tokio::test]
async fn growing_memory_ends_in_a_memory_error_and_keeps_the_output() {
    let server = TestServer::start("").await;
    let code = "import numpy as np\na, n = [], 0\n\
        while n < 4000: a.append(np.empty(50 << 20, 'u1')); n += 50; print(n, flush=True)";
    let output = run(&server, code).await.failed();
    assert!(output.starts_with("50\n100\n") && output.contains("MemoryError"), "{output}");
    alive(&server).await;
}

/// [E01] [E15]
#[tokio::test]
async fn one_text_or_number_that_is_too_large_is_an_error() {
    let server = TestServer::start("").await;
    for code in [
        "a = 'a' * 10**9\nb = f'{a}{a}{a}'",
        "bytearray(10**12)",
        "[0] * 10**12",
        "' ' * (3 << 30)",
        "' ' * ((2 << 30) + 1024)",
    ] {
        let output = run(&server, code).await.failed();
        assert!(
            output.ends_with("MemoryError\nThe limit is 2048 MiB of memory\n"),
            "{code}:\n{output}"
        );
    }
    alive(&server).await;
}

/// [E09]
#[tokio::test]
async fn memory_cannot_be_locked() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, mmap
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.mlockall(3), libc.mlock(0, 4096))
        for name, flag in (('locked', 0x2000), ('huge', 0x40000)):
            try: mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | flag); print(name)
            except OSError as e: print(e.errno)
        ",
    );
    // 11 is EAGAIN, of the limit on locked memory; 12 is ENOMEM.
    assert_eq!(run(&server, &code).await.ok(), "-1 -1\n11\n12\n");
}

/// [E11]
#[tokio::test]
async fn reading_all_readable_files_harms_no_other_run() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, time
        n, end = 0, time.monotonic() + 2
        for d, _, files in os.walk(os.path.dirname(os.__file__)):
            for f in files:
                if time.monotonic() < end and os.path.isfile(d + '/' + f): n += len(open(d + '/' + f, 'rb').read())
        print(n > 1 << 20)
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "True\n");
    alive(&server).await;
}
