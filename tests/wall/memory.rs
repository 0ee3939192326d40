//! Memory: what is too much is an error in the code that wanted it.

use serde_json::json;

use crate::harness::{TestServer, Warden};
use crate::{PLACES, alive, execute, is_namespaced, python, run};

/// [E01] [E03]
#[tokio::test]
async fn too_much_memory_is_a_memory_error() {
    let server = TestServer::start("").await;
    for code in ["x = bytearray(3 << 30)", "import numpy as np\nx = np.ones((10**6, 10**4))"] {
        let told = run(&server, code).await.failed();
        assert!(told.contains("MemoryError"), "{code}:\n{told}");
    }
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// [E05]
///
/// Each of them has less than a process may have.
#[tokio::test]
async fn the_processes_of_a_cell_have_their_memory_together() {
    // So much memory takes a busy machine longer than tests have.
    let warden = Warden::start(&["--standbys", "1"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = "import os, time\n\
        print('before', flush=True)\n\
        for _ in range(4):\n\
        \x20   if os.fork() == 0:\n\
        \x20       x = bytearray(b'x') * (600 << 20)\n\
        \x20       time.sleep(60)\n\
        time.sleep(60)";
    let told = run(&server, code).await.failed();
    assert_eq!(told, "before\nMemoryError: stopped, used more than 2048 MiB of memory\n");
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// Memory that no process asks for, or that all of them have, counts like any other.
#[tokio::test]
async fn shared_memory_and_files_in_memory_count_as_well() {
    let warden = Warden::start(&["--memory-mib", "512", "--scratch-mib", "256"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    // On the machine's root the others are on a disk.
    let in_memory = if is_namespaced(&server).await { "PLACES" } else { "PLACES[2:] * 3" };
    let with_files = format!(
        "{PLACES}for n, d in enumerate({in_memory}):\n\
         \x20   with open(f'{{d}}/{{n}}-{{os.getpid()}}', 'wb', 0) as f: [f.write(bytes(1 << 20)) for _ in range(80)]\n\
         x = b'x' * (400 << 20)\nimport time; time.sleep(60)"
    );
    let cases = [
        "import mmap, numpy as np\nx = np.frombuffer(mmap.mmap(-1, 1 << 30), 'u1')\nx[::4096] = 1",
        // Neither the files nor the process alone is too much.
        &with_files,
        // What is mapped is not counted twice, and what is not is not forgotten.
        "import mmap, os, time\n\
         f = open(f'/dev/shm/f-{os.getpid()}', 'w+b'); f.truncate(150 << 20)\n\
         m = mmap.mmap(f.fileno(), 150 << 20); m.write(bytes(150 << 20))\n\
         x = b'x' * (250 << 20); time.sleep(0.5); print('both fit', flush=True)\n\
         open(f'/dev/shm/g-{os.getpid()}', 'wb').write(bytes(100 << 20)); y = b'y' * (100 << 20)\n\
         time.sleep(60)",
        // Each has less than a process may have.
        "import os, time\n\
         for _ in range(8):\n\
         \x20   if os.fork() == 0: x = b'x' * (100 << 20); time.sleep(60)\n\
         time.sleep(60)",
    ];
    for code in cases {
        let answer = execute(&server, &format!("print('before', flush=True)\n{code}")).await;
        assert_eq!(answer["outcome"], "failed", "{code}: {answer}");
        assert_eq!(answer["limit"], json!({"name": "memory_bytes", "value": 512 << 20}), "{code}");
        let told = answer["stderr"].as_str().expect("it is text");
        let words = "MemoryError: stopped, used more than 512 MiB of memory\n";
        assert!(told.starts_with(words), "{code}: {answer}");
        let stdout = if code.contains("both fit") { "before\nboth fit\n" } else { "before\n" };
        assert_eq!(answer["stdout"], stdout, "{code}");
        alive(&server).await;
    }
    let file = run(&server, "import os; os.memfd_create('x')").await.failed();
    assert!(file.contains("PermissionError"), "{file}");
}

#[tokio::test]
async fn what_is_promised_can_be_had() {
    let server = TestServer::start("").await;
    // Not touched, so that the test needs no memory either.
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
async fn memory_that_grows_ends_in_an_error_that_says_so_and_keeps_what_was_printed() {
    let server = TestServer::start("").await;
    let code = "import numpy as np\na, n = [], 0\n\
        while n < 4000: a.append(np.empty(50 << 20, 'u1')); n += 50; print(n, flush=True)";
    let told = run(&server, code).await.failed();
    assert!(told.starts_with("50\n100\n") && told.contains("MemoryError"), "{told}");
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
        let told = run(&server, code).await.failed();
        assert!(
            told.ends_with("MemoryError\nThe limit is 2048 MiB of memory\n"),
            "{code}:\n{told}"
        );
    }
    alive(&server).await;
}

/// [E09]
#[tokio::test]
async fn no_memory_can_be_held_so_that_others_cannot_have_it() {
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
async fn reading_all_there_is_to_read_harms_nobody() {
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
