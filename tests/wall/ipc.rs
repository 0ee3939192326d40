//! Ways from process to process: all of them work within a cell, none leads out of it.

use crate::harness::TestServer;
use crate::{alive, python, run, try_each};

/// The kernel counts descriptors on their way for all cells together. Those who want to send some,
/// and those who see to it that nobody can, take turns.
static ON_THEIR_WAY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn a_local_socket_of_this_machine_cannot_be_reached() {
    let server = TestServer::start("").await;
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).expect("it is our folder");
    tokio::net::UnixStream::connect(&path).await.expect("it can be reached from here");
    drop(listener.accept().await.expect("it was"));
    let name = format!("belljar-test-{}", std::process::id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(
            &name,
        )
        .expect("it is short");
    let nameless = std::os::unix::net::UnixListener::bind_addr(&address).expect("it is free");
    nameless.set_nonblocking(true).expect("it can be");

    let code = try_each(
        "import os, socket\ns = lambda: socket.socket(socket.AF_UNIX)",
        &[
            &format!("s().connect('{}')", path.display()),
            &format!("os.symlink('{0}', 'l'); s().connect('l')", path.display()),
            &format!("s().connect('\\0{name}')"),
            "s().connect('/run/nscd/socket')",
            "s().connect('/var/run/docker.sock')",
        ],
    );
    let told = run(&server, &code).await.ok();
    // 2 is ENOENT, 111 is ECONNREFUSED, 1 is EPERM.
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..2], ["FileNotFoundError 2"; 2]);
    assert!(["ConnectionRefusedError 111", "PermissionError 1"].contains(&lines[2]), "{told}");
    assert_eq!(lines[3..], ["FileNotFoundError 2"; 2]);
    let heard = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(heard.is_err() && nameless.accept().is_err(), "something knocked");
}

#[tokio::test]
async fn no_descriptor_comes_in_or_is_taken_through_the_runners_sockets() {
    let _turn = ON_THEIR_WAY.lock().await;
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, socket
        for fd in (3, 4):
            s = socket.socket(fileno=os.dup(fd))
            print(repr(s.getsockname()), repr(s.getpeername()))
            s.setblocking(False)
            try: print(s.recvmsg(10, 1000))
            except BlockingIOError: print('nothing')
        n = 0
        try:
            for n in range(2000): socket.send_fds(s, [b'\0\0\0\0'], [0] * 200)
        except OSError as e: print('enough')
        ",
    );
    let told = run(&server, &code).await.ok();
    assert!(told.starts_with("'' ''\nnothing\n'' ''\nnothing\n"), "{told}");
    for _ in 0..3 {
        run(&server, &code).await.ok();
    }
    alive(&server).await;
}

#[tokio::test]
async fn what_multiprocessing_builds_on_works() {
    let _turn = ON_THEIR_WAY.lock().await;
    let server = TestServer::start("").await;
    let code = python(
        r"
        import asyncio, multiprocessing as mp, socket
        from multiprocessing import shared_memory
        with mp.Manager() as manager:
            d = manager.dict(); d['a'] = 1; print(dict(d))
        q = mp.Queue(); p = mp.Process(target=q.put, args=(5,)); p.start(); print(q.get()); p.join()
        x = shared_memory.SharedMemory(create=True, size=10); x.buf[0] = 7
        y = shared_memory.SharedMemory(x.name); print(y.buf[0]); y.close(); x.close(); x.unlink()
        print(mp.Semaphore(1).acquire(), mp.Value('i', 3).value)
        with mp.get_context('spawn').Pool(1) as pool: print(pool.map(abs, [-1]))
        with mp.get_context('forkserver').Pool(1) as pool: print(pool.map(abs, [-2]))
        async def talk():
            server = await asyncio.start_unix_server(lambda r, w: w.write(b'hi') or w.close(), '/tmp/s')
            reader, writer = await asyncio.open_unix_connection('/tmp/s')
            print(await reader.read())
        asyncio.run(talk())
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "{'a': 1}\n5\n7\nTrue 3\n[1]\n[2]\nb'hi'\n");
}

#[tokio::test]
async fn a_server_in_the_code_gets_a_clear_refusal() {
    let server = TestServer::start("").await;
    let code = try_each(
        "import http.server, socketserver, urllib.request, time\nbegan = time.monotonic()",
        &[
            "socketserver.TCPServer(('127.0.0.1', 8000), None)",
            "http.server.HTTPServer(('', 8000), None)",
            "urllib.request.urlopen('http://example.invalid/')",
            "assert time.monotonic() - began < 1",
        ],
    );
    assert_eq!(run(&server, &code).await.ok(), "OSError 97\nOSError 97\nURLError None\nok\n");
}

#[tokio::test]
async fn two_cells_that_use_the_same_names_do_not_meet() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import socket, time
        from multiprocessing import shared_memory
        a = socket.socket(socket.AF_UNIX); a.bind('\0the same'); a.listen()
        b = socket.socket(socket.AF_UNIX); b.bind('/tmp/the same')
        c = shared_memory.SharedMemory('the_same', create=True, size=16)
        time.sleep(0.3)
        a.setblocking(False)
        try: a.accept(); print('met')
        except BlockingIOError: print('alone')
        c.unlink()
        ",
    );
    let (one, other) = tokio::join!(run(&server, &code), run(&server, &code));
    assert_eq!((one.ok(), other.ok()), ("alone\n".to_owned(), "alone\n".to_owned()));
}

#[tokio::test]
async fn descriptors_that_one_cell_leaves_on_their_way_keep_no_other_from_coming_up() {
    let _turn = ON_THEIR_WAY.lock().await;
    let server = TestServer::start("").await;
    // As many as the kernel lets a user have; it counts those of all cells together.
    let hoarder = python(
        r"
        import socket, time
        pairs, sent = [], 0
        def fill():
            global sent
            a, b = socket.socketpair(); a.setblocking(False); pairs.append((a, b))
            try:
                while sent < 20_000: socket.send_fds(a, [b'x'], [0] * 250); sent += 250
            except BlockingIOError: return True
            except OSError as e: print(e.errno)
        while len(pairs) < 100 and fill(): pass
        print(sent > 1000, flush=True)
        time.sleep(2)
        ",
    );
    let others = async {
        // More than there are standbys.
        for _ in 0..12 {
            assert_eq!(run(&server, "import time; time.sleep(0.05); print(1)").await.ok(), "1\n");
        }
        alive(&server).await;
    };
    let (hoarded, ()) = tokio::join!(run(&server, &hoarder), others);
    // 109 is ETOOMANYREFS.
    assert_eq!(hoarded.ok(), "109\nTrue\n");
}
