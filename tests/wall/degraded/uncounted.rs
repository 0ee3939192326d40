//! What the kernel counts for a user, or for no one: epoll registrations, descriptors in sockets, the
//! processor time of children that it reaps itself. And what a killed warden leaves behind.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::{watched, without_user_namespaces};
use crate::host::until;
use crate::{alive, execute, python, run};
use harness::{TestServer, Warden};

/// Defines what the attacks below use. `fill` makes about `n` registrations with 60 descriptors: the kernel
/// keeps a registration whose descriptor was closed as long as the file has another one.
const EPOLL: &str = r"
import array, ctypes, os, platform, select, socket, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def fill(epolls, n):
    files = [os.eventfd(0) for _ in range(4)]
    made = 0
    for file in files:
        for number in range(150, 250):
            os.dup2(file, number)
            for epoll in epolls:
                epoll.register(number, 0); made += 1
            os.close(number)
            if made >= n: return files
    return files
def send(fds):
    one, other = socket.socketpair()
    one.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))])
    return one, other
kept = []
print('before', flush=True)
";

/// [G09] [E09] The kernel limits registrations per user outside, which cells may share with one another and
/// with the warden, and no control group counts descriptors in sockets.
#[tokio::test]
async fn epoll_registrations_of_a_cell_have_an_end() {
    let limits = ["--wall-ms", "20000", "--kits", "bare"];
    let ways = [
        "epolls = [select.epoll() for _ in range(100)]\nkept.append(fill(epolls, 50_000))",
        // In a process that has closed itself to others, and in one whose first thread has ended.
        "libc.prctl(4, 0, 0, 0, 0)\nepolls = [select.epoll() for _ in range(100)]\nkept.append(fill(epolls, 50_000))",
        "def later():\n    epolls = [select.epoll() for _ in range(100)]\n    kept.append(fill(epolls, 50_000)); time.sleep(60)\n\
         threading.Thread(target=later).start()\nlibc.syscall(60 if platform.machine() == 'x86_64' else 93, 0)",
        // In a thread that tries to get a descriptor table of its own.
        "def apart():\n    libc.syscall(436, 900, 901, 2)\n    epolls = [select.epoll() for _ in range(100)]\n    kept.append(fill(epolls, 50_000)); time.sleep(60)\n\
         threading.Thread(target=apart).start()\ntime.sleep(60)",
        // In several processes, each of which has less than the limit.
        "for _ in range(8):\n    if os.fork() == 0:\n        epolls = [select.epoll() for _ in range(20)]\n        fill(epolls, 7_000); time.sleep(60)",
        // Out of sight, in sockets: many large ones, and a great number of any kind.
        // The kernel refuses more than 500 of them.
        "try:\n    for _ in range(30):\n        epolls = [select.epoll() for _ in range(20)]\n        files = fill(epolls, 8_000)\n\
         \x20       kept.append(send([e.fileno() for e in epolls]))\n        del epolls\n        for fd in files: os.close(fd)\n\
         except OSError: pass",
        "null = os.open('/dev/null', 0)\nfor _ in range(2): kept.append(send([null] * 120))",
    ];
    for warden in
        [watched(&limits), Warden::start_by(without_user_namespaces(&["--as-in-docker"]), &limits)]
    {
        let server = TestServer::builder().sandbox(&warden.socket()).start().await;
        for way in ways {
            let answer = execute(&server, &format!("{EPOLL}{way}\ntime.sleep(60)")).await;
            let limit = json!({"name": "watches", "value": 20_000});
            assert_eq!(
                (&answer["stdout"], &answer["limit"]),
                (&json!("before\n"), &limit),
                "{way}: {answer:.500}"
            );
            let words = "OSError: stopped, used more than 20000 epoll registrations\n";
            assert_eq!(answer["stderr"], words, "{answer:.500}");
        }
        alive(&server).await;
    }
}

/// What ordinary programs register and send stays far below that limit, also while it waits in a socket.
#[tokio::test]
async fn programs_that_use_epoll_and_send_descriptors_are_not_stopped() {
    let code = python(
        r"
        import array, asyncio, multiprocessing, os, selectors, socket, time
        from multiprocessing import reduction
        async def echo(reader, writer):
            writer.write(await reader.read(9)); await writer.drain(); writer.close()
        async def ask():
            reader, writer = await asyncio.open_unix_connection('s')
            writer.write(b'hello'); answer = await reader.read(9); writer.close()
            return answer
        async def main():
            async with await asyncio.start_unix_server(echo, 's'):
                return {answer for _ in range(5) for answer in await asyncio.gather(*[ask() for _ in range(80)])}
        print(asyncio.run(main()))
        selector = selectors.DefaultSelector()
        pairs = [socket.socketpair() for _ in range(100)]
        for one, _ in pairs: selector.register(one, selectors.EVENT_READ)
        for _, other in pairs: other.send(b'x')
        print(type(selector).__name__, len(selector.select(0)))
        for one, other in pairs: one.close(); other.close()
        def child(pipe, n): pipe.send(os.fstat(reduction.recv_handle(pipe)).st_ino if n else os.getpid())
        context = multiprocessing.get_context('fork')
        for n in range(3):
            here, there = context.Pipe(); process = context.Process(target=child, args=(there, n)); process.start()
            if n: reduction.send_handle(here, 0, process.pid)
            print((here.recv() > 0), process.join())
        # Children that no one has waited for, and processes that come and go.
        left = [os.fork() or os._exit(0) for _ in range(20)]
        end = time.monotonic() + 1
        while time.monotonic() < end:
            children = [os.fork() or os._exit(0) for _ in range(10)]
            for child in children: os.waitpid(child, 0)
        one, other = socket.socketpair()
        one.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0] * 100))])
        time.sleep(1)
        print(len(socket.recv_fds(other, 9, 100)[1]))
        ",
    );
    let wanted = "{b'hello'}\nEpollSelector 100\nTrue None\nTrue None\nTrue None\n100\n";
    let limits = ["--wall-ms", "20000", "--kits", "bare"];
    for warden in
        [watched(&limits), Warden::start_by(without_user_namespaces(&["--as-in-docker"]), &limits)]
    {
        let server = TestServer::builder().sandbox(&warden.socket()).start().await;
        assert_eq!(run(&server, &code).await.ok(), wanted);
    }
}

fn kill(warden: &Warden) {
    let id = Pid::from_raw(warden.id().cast_signed()).expect("no process is 0");
    kill_process(id, Signal::KILL).expect("it runs");
}

/// [K07] [F05] What a killed warden leaves in shared memory goes when the next one starts, and what a running
/// one has there stays.
#[tokio::test]
async fn shared_memory_of_a_killed_warden_is_removed_by_the_next_one() {
    let start = || {
        Warden::start_by(without_user_namespaces(&[]), &["--wall-ms", "20000", "--kits", "bare"])
    };
    let names = [format!("killed-{}", std::process::id()), format!("alive-{}", std::process::id())];
    let paths = names.each_ref().map(|name| Path::new("/dev/shm").join(name));
    let code = |name: &str| {
        let path = format!("/dev/shm/{name}");
        json!({"code": format!("open('{path}', 'w').write('x'); import time; time.sleep(15)")})
    };
    let (killed, other) = (start(), start());
    let servers = [&killed, &other].map(|one| TestServer::builder().sandbox(&one.socket()).start());
    let [first, second] = servers;
    let (first, second) = (first.await, second.await);
    let (of_first, of_second) = (code(&names[0]), code(&names[1]));
    let (first, second) = (
        tokio::spawn(async move { first.post("/x/execute", &of_first).await.status }),
        tokio::spawn(async move { second.post("/x/execute", &of_second).await.status }),
    );
    until("both have written", || paths.iter().all(|path| path.exists())).await;
    kill(&killed);
    assert_eq!(first.await.expect("it does not panic"), 503);
    // It may be gone already: wardens of other tests start as well.
    let next = start();
    let server = TestServer::builder().sandbox(&next.socket()).start().await;
    alive(&server).await;
    assert!(!paths[0].exists(), "it was left");
    assert!(paths[1].exists(), "it was in use");
    second.abort();
}
