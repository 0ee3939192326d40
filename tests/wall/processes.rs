//! Processes: a cell sees its own, reaches no other, and has only so many.

use crate::harness::TestServer;
use crate::run;

#[tokio::test]
async fn no_process_of_the_machine_can_be_seen_or_signalled() {
    let server = TestServer::start("").await;
    let code = format!(
        "import os\n\
         def reach(pid):\n\
         \x20   try: os.kill(pid, 0); return 'reached'\n\
         \x20   except OSError as e: return e.errno\n\
         print(os.getpid(), reach({}), reach(1), {{reach(p) for p in range(3, 5000)}})",
        std::process::id()
    );
    // 3 is ESRCH, 1 is EPERM: init is there, and out of reach.
    assert_eq!(run(&server, &code).await.ok(), "2 3 1 {3}\n");
}

#[tokio::test]
async fn a_fork_bomb_ends_in_an_error_and_hurts_nobody() {
    let server = TestServer::start("").await;
    let bomb = "import os, time\n\
                n = 0\n\
                try:\n\
                \x20   while n < 500:\n\
                \x20       if os.fork() == 0: time.sleep(60); os._exit(0)\n\
                \x20       n += 1\n\
                except OSError as e: print(n, type(e).__name__)";
    let (bombed, neighbour) = tokio::join!(run(&server, bomb), run(&server, "print(1)"));
    assert_eq!(bombed.ok(), "63 BlockingIOError\n");
    assert_eq!(neighbour.ok(), "1\n");
    assert_eq!(run(&server, "print(2)").await.ok(), "2\n");
}

#[tokio::test]
async fn honest_parallel_code_works() {
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
    let told = run(&server, code).await.ok();
    assert_eq!(told, "[1, 2]\n[3]\n4\n[5]\nb'6\\n'\nat the end\n");
}

#[tokio::test]
async fn a_fork_that_comes_to_the_codes_end_does_not_speak_for_it() {
    let server = TestServer::start("").await;
    let code = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0); print('parent')\nelse: print('child')";
    assert_eq!(run(&server, code).await.ok(), "child\nparent\n");
}
