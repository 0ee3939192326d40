//! There is no network, not even to this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use tokio::net::TcpListener;

use crate::{execute, is_namespaced, python, run, try_each};
use harness::{TestServer, Warden, below};

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

/// Network namespaces are reused, and an abstract name of a local socket belongs to one. A cell leaves as much as
/// it can: listeners with waiting connections, and sockets that are kept alive only by each other.
#[tokio::test]
async fn nothing_of_a_dead_cell_is_in_its_network_namespace() {
    let server = TestServer::start("").await;
    if !is_namespaced(&server).await {
        return; // there is one network namespace, and Landlock separates cells
    }
    let code = python(
        r"
        import array, os, socket
        def send(to, one):
            to.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [one.fileno()]))])
        listener = socket.socket(socket.AF_UNIX)
        listener.bind('\0left')
        listener.listen()
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect('\0left')
        # Two sockets that are in each other's queue, with a name.
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        named = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        named.bind('\0cycle')
        send(a, b); send(b, a); send(a, named); send(b, named); send(waiting, listener)
        if os.fork() == 0: import time; time.sleep(1000)
        print('bound')
        ",
    );
    for _ in 0..40 {
        let answer = execute(&server, &code).await;
        assert_eq!(answer["stdout"], "bound\n", "an earlier cell has the name: {answer}");
    }
}

/// A process's network namespace, the user namespace that owns it, and the one that the process is in.
struct Membership {
    network: String,
    owner: String,
    users: String,
}

/// Of those of these processes that are in a cell. A zygote, and a builder that is still making a cell, are in the
/// process table of this machine.
fn memberships(processes: &[i32]) -> Vec<Membership> {
    let script = "import fcntl, os, sys\n\
        NS_GET_USERNS = 0xb701\n\
        def space(process, kind): return os.stat(f'/proc/{process}/ns/{kind}').st_ino\n\
        for process in sys.argv[1:]:\n\
        \x20   try:\n\
        \x20       if space(process, 'pid') == space('self', 'pid'): continue\n\
        \x20       network = os.open(f'/proc/{process}/ns/net', os.O_RDONLY)\n\
        \x20       owner = os.fstat(fcntl.ioctl(network, NS_GET_USERNS)).st_ino\n\
        \x20       print(os.fstat(network).st_ino, owner, space(process, 'user'))\n\
        \x20   except FileNotFoundError: pass  # it has ended";
    let processes = processes.iter().map(i32::to_string);
    let output = Command::new("python3").args(["-c", script]).args(processes).output();
    let output = output.expect("the tests need Python");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("they are numbers");
    let one = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut next = || words.next().expect("there are three");
        Membership { network: next(), owner: next(), users: next() }
    };
    text.lines().map(one).collect()
}

/// Without a capability in the namespace's owner, a cell could not change its network even if the filter of system
/// calls failed.
#[tokio::test]
async fn each_live_cell_has_a_network_namespace_that_it_does_not_own() {
    let warden = Warden::start(&["--kits", "bare", "--standbys", "3"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    if !is_namespaced(&server).await {
        return;
    }
    let mut all = BTreeSet::new();
    for _ in 0..30 {
        let code = "import socket\nsocket.socket(socket.AF_UNIX).bind('\\0name'); print(1)";
        // At the same time: each can have the name if they share no namespace.
        let both = tokio::join!(execute(&server, code), execute(&server, code));
        for answer in [both.0, both.1] {
            assert_eq!(answer["stdout"], "1\n", "{answer}");
        }
        let mut cells: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for Membership { network, owner, users } in memberships(&below(warden.id())) {
            assert_ne!(owner, users, "the cell owns its network namespace");
            cells.entry(network.clone()).or_default().insert(users);
            all.insert(network);
        }
        for (network, users) in &cells {
            assert!(users.len() <= 1, "{network} has processes of {users:?}");
        }
    }
    assert!(!all.is_empty() && all.len() < 40, "they are not reused: {}", all.len());
}
