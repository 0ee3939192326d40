//! Communication between processes: everything works within a cell, nothing leads out of it.

use std::os::unix::fs::PermissionsExt;

use crate::{alive, is_namespaced, python, run, try_each};
use harness::TestServer;

/// The kernel counts descriptors in flight for all cells together. Tests that send descriptors, and the
/// one that exhausts the count, run one at a time.
static IN_FLIGHT: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A local socket in a folder of the test, with this mode.
async fn listener(mode: u32) -> (tempfile::TempDir, tokio::net::UnixListener) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).expect("it is our folder");
    for path in [folder.path(), &path] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    }
    tokio::net::UnixStream::connect(&path).await.expect("it can be reached from here");
    drop(listener.accept().await.expect("it was"));
    (folder, listener)
}

/// [J02] [J05]
#[tokio::test]
async fn a_local_socket_that_is_open_to_all_of_this_machine_cannot_be_reached() {
    let server = TestServer::start("").await;
    let (folder, listener) = listener(0o777).await;
    let path = folder.path().join("s");
    let code = try_each(
        "import os, socket\ns = lambda: socket.socket(socket.AF_UNIX)",
        &[
            &format!("s().connect('{}')", path.display()),
            &format!("os.symlink('{0}', 'l'); s().connect('l')", path.display()),
            "s().connect('/run/nscd/socket')",
            "s().connect('/run/dbus/system_bus_socket')",
        ],
    );
    assert_eq!(run(&server, &code).await.ok(), "FileNotFoundError 2\n".repeat(4));
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "a connection was accepted");
}

/// [J02] [J05]
#[tokio::test]
async fn a_local_socket_of_the_servers_user_or_without_a_path_cannot_be_reached() {
    let server = TestServer::start("").await;
    let (folder, listener) = listener(0o700).await;
    let path = folder.path().join("s");
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
            "s().connect('/var/run/docker.sock')",
        ],
    );
    let output = run(&server, &code).await.ok();
    // Missing is ENOENT (2), refused is EACCES (13); 111 is ECONNREFUSED, 1 is EPERM.
    let by_path = ["FileNotFoundError 2", "PermissionError 13"];
    let by_name = ["ConnectionRefusedError 111", "PermissionError 1"];
    let lines: Vec<_> = output.lines().collect();
    for (line, refusals) in lines.iter().zip([by_path, by_path, by_name, by_path]) {
        assert!(refusals.contains(line), "{output}");
    }
    assert_eq!(lines.len(), 4, "{output}");
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err() && nameless.accept().is_err(), "a connection was accepted");
}

/// [J06]
#[tokio::test]
async fn no_descriptor_can_be_passed_through_the_runners_sockets() {
    let _turn = IN_FLIGHT.lock().await;
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
    let output = run(&server, &code).await.ok();
    assert!(output.starts_with("'' ''\nnothing\n'' ''\nnothing\n"), "{output}");
    for _ in 0..3 {
        run(&server, &code).await.ok();
    }
    alive(&server).await;
}

/// [J09]
#[tokio::test]
async fn multiprocessing_primitives_work() {
    let _turn = IN_FLIGHT.lock().await;
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
            server = await asyncio.start_unix_server(lambda r, w: w.write(b'hi') or w.close(), 's')
            reader, writer = await asyncio.open_unix_connection('s')
            print(await reader.read())
        asyncio.run(talk())
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "{'a': 1}\n5\n7\nTrue 3\n[1]\n[2]\nb'hi'\n");
}

/// [J07] [J08]
#[tokio::test]
async fn a_server_started_by_the_code_gets_a_clear_error() {
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

/// [J07]
#[tokio::test]
async fn two_cells_that_use_the_same_names_do_not_interact() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import errno, os, socket, time
        from multiprocessing import shared_memory
        local = lambda: socket.socket(socket.AF_UNIX)
        b = local(); b.bind('the same')
        try:
            a = local(); a.bind('\0the same'); a.listen()
            c = shared_memory.SharedMemory('the_same', create=True, size=16)
        except OSError as e:
            # The name is taken by another cell, and out of reach.
            print(e.errno in (errno.EADDRINUSE, errno.EEXIST))
            for reach in (lambda: local().connect('\0the same'), lambda: shared_memory.SharedMemory('the_same')):
                try: reach(); print('met')
                except (ConnectionRefusedError, FileNotFoundError, PermissionError): pass
            raise SystemExit
        time.sleep(0.5)
        a.setblocking(False)
        try: a.accept(); print('met')
        except BlockingIOError: print('alone')
        c.unlink()
        ",
    );
    let (one, other) = tokio::join!(run(&server, &code), run(&server, &code));
    let (one, other) = (one.ok(), other.ok());
    match is_namespaced(&server).await {
        true => assert_eq!((&*one, &*other), ("alone\n", "alone\n")),
        false => {
            assert!(one == "alone\n" || other == "alone\n", "{one}{other}");
            assert!(!one.contains("met") && !other.contains("met"), "{one}{other}");
        }
    }
}

/// [G09]
#[tokio::test]
async fn descriptors_in_flight_in_one_cell_do_not_prevent_new_cells() {
    let _turn = IN_FLIGHT.lock().await;
    let server = TestServer::start("").await;
    // The kernel's limit per user; it counts those of all cells together.
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
        print(sent > 0, flush=True)
        time.sleep(2)
        ",
    );
    let others = async {
        // More often than there are standbys.
        for _ in 0..12 {
            assert_eq!(run(&server, "import time; time.sleep(0.05); print(1)").await.ok(), "1\n");
        }
        alive(&server).await;
    };
    let (hoarded, ()) = tokio::join!(run(&server, &hoarder), others);
    // 109 is ETOOMANYREFS.
    let output = "109\nTrue\n";
    if rustix::process::geteuid().is_root() {
        assert_eq!(hoarded.ok(), output);
    } else {
        // All cells have one user, so the warden stops a run that has more than its share in flight.
        let stopped = "OSError: stopped, used more than 20000 epoll registrations\n";
        assert_eq!(hoarded.failed(), format!("{output}{stopped}"));
    }
}
