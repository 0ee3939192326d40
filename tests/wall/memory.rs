//! Memory: what is too much is an error in the code that wanted it.

use crate::harness::TestServer;
use crate::run;

#[tokio::test]
async fn too_much_memory_is_a_memory_error() {
    let server = TestServer::start("").await;
    for code in ["x = bytearray(3 << 30)", "import numpy as np\nx = np.ones((10**6, 10**4))"] {
        let told = run(&server, code).await.failed();
        assert!(told.contains("MemoryError"), "{code}:\n{told}");
    }
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// Each of them has less than a process may have.
#[tokio::test]
async fn the_processes_of_a_cell_have_their_memory_together() {
    let server = TestServer::start("").await;
    let code = "import os, time\n\
        print('before', flush=True)\n\
        for _ in range(8):\n\
        \x20   if os.fork() == 0:\n\
        \x20       x = bytearray(b'x') * (400 << 20)\n\
        \x20       time.sleep(60)\n\
        time.sleep(60)";
    let told = run(&server, code).await.failed();
    assert_eq!(told, "before\nMemoryError: stopped, used more than 2048 MiB of memory\n");
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
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
