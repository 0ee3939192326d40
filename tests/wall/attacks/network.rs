//! There is no network, not even to this machine.

use tokio::net::TcpListener;

use crate::{run, try_each};
use harness::TestServer;

/// [J01] [J02] [J03]
#[tokio::test]
async fn a_listener_on_this_machine_receives_no_connection() {
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
    let output = run(&server, &code).await.ok();

    // 97 is EAFNOSUPPORT.
    let expected =
        ["OSError 97", "URLError None", "OSError 97", "OSError 97", "OSError 97", "OSError 97"];
    assert_eq!(output.lines().take(6).collect::<Vec<_>>(), expected, "{output}");
    assert!(output.lines().nth(6).is_some_and(|line| line.starts_with("gaierror")), "{output}");
    assert_eq!(
        output.lines().nth(7),
        Some("ok"),
        "local sockets are for asyncio and multiprocessing"
    );
    let accepted = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "a connection was accepted");
}

/// [J08]
#[tokio::test]
async fn pip_install_reports_that_it_is_impossible() {
    let server = TestServer::start("").await;
    let code = "import subprocess, sys\n\
                for command in (['pip'], ['pip3'], [sys.executable, '-m', 'pip']):\n\
                \x20   done = subprocess.run([*command, 'install', 'holidays'], capture_output=True, text=True)\n\
                \x20   print(done.returncode, done.stderr)";
    let output = run(&server, code).await.ok();
    assert_eq!(output.matches("1 ERROR: packages cannot be installed").count(), 3, "{output}");
}

#[tokio::test]
async fn pip_reports_a_version() {
    let server = TestServer::start("").await;
    let output =
        run(&server, "import pandas, pip\nprint(pip.__version__)\npandas.show_versions()").await;
    let output = output.ok();
    assert!(
        output.starts_with("0\n") && output.contains("\npip                   : 0\n"),
        "{output}"
    );
    let refused = run(&server, "import pip\npip.main(['install', 'holidays'])").await.failed();
    assert!(refused.contains("ERROR: packages cannot be installed"), "{refused}");
}
