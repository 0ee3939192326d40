//! There is no network, not even to this machine.

use tokio::net::TcpListener;

use crate::harness::TestServer;
use crate::{run, try_each};

/// [J01] [J02] [J03]
#[tokio::test]
async fn a_listener_of_this_machine_hears_nothing() {
    let server = TestServer::start("").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("it can be reached from here");
    drop(listener.accept().await.expect("it was"));

    let code = try_each(
        "import socket, urllib.request",
        &[
            &format!("socket.create_connection(('127.0.0.1', {port}), timeout=1)"),
            &format!("urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=1)"),
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
            "socket.socket(socket.AF_INET6)",
            "socket.socket(socket.AF_NETLINK)",
            "socket.socket(socket.AF_PACKET)",
            "socket.getaddrinfo('name.invalid', 80)",
            "socket.socketpair()",
        ],
    );
    let told = run(&server, &code).await.ok();

    // 97 is EAFNOSUPPORT.
    let expected =
        ["OSError 97", "URLError None", "OSError 97", "OSError 97", "OSError 97", "OSError 97"];
    assert_eq!(told.lines().take(6).collect::<Vec<_>>(), expected, "{told}");
    assert!(told.lines().nth(6).is_some_and(|line| line.starts_with("gaierror")), "{told}");
    assert_eq!(
        told.lines().nth(7),
        Some("ok"),
        "local sockets are for asyncio and multiprocessing"
    );
    let heard = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(heard.is_err(), "something knocked");
}

/// [J08]
#[tokio::test]
async fn installing_says_that_it_cannot_be_done() {
    let server = TestServer::start("").await;
    let code = "import subprocess, sys\n\
                for command in (['pip'], ['pip3'], [sys.executable, '-m', 'pip']):\n\
                \x20   done = subprocess.run([*command, 'install', 'holidays'], capture_output=True, text=True)\n\
                \x20   print(done.returncode, done.stderr)";
    let told = run(&server, code).await.ok();
    assert_eq!(told.matches("1 ERROR: packages cannot be installed").count(), 3, "{told}");
}

#[tokio::test]
async fn whoever_only_asks_which_pip_there_is_gets_an_answer() {
    let server = TestServer::start("").await;
    let told =
        run(&server, "import pandas, pip\nprint(pip.__version__)\npandas.show_versions()").await;
    let told = told.ok();
    assert!(told.starts_with("0\n") && told.contains("\npip                   : 0\n"), "{told}");
    let refused = run(&server, "import pip\npip.main(['install', 'holidays'])").await.failed();
    assert!(refused.contains("ERROR: packages cannot be installed"), "{refused}");
}
