//! The kernel: calls that could break the isolation fail with an error and do not kill the process.

use crate::{is_namespaced, run};
use harness::TestServer;

/// [H01] [H02] [H03] [H04] [H05]
#[tokio::test]
async fn calls_that_could_break_the_isolation_are_refused() {
    let server = TestServer::start("").await;
    // Number on x86-64, name, arguments, and the error: 1 EPERM, 38 ENOSYS, 95 EOPNOTSUPP,
    // 97 EAFNOSUPPORT.
    let calls = [
        (272, "unshare(NEWUSER)", "0x10000000", 1),
        (272, "unshare(NEWNS)", "0x20000", 1),
        (56, "clone(NEWUSER)", "0x10000011, 0, 0, 0, 0", 1),
        (56, "clone(THREAD without FILES)", "0x10900, 0, 0, 0, 0", 1),
        (435, "clone3", "0, 0", 38),
        (308, "setns", "0, 0", 1),
        (165, "mount", "0, 0, 0, 0, 0", 1),
        (166, "umount2", "0, 0", 1),
        (155, "pivot_root", "0, 0", 1),
        (161, "chroot", "0", 1),
        (428, "open_tree", "0, 0, 0", 1),
        (425, "io_uring_setup", "1, 0", 38),
        (321, "bpf", "0, 0, 0", 1),
        (298, "perf_event_open", "0, 0, 0, 0, 0", 1),
        (323, "userfaultfd", "0", 1),
        (250, "keyctl", "0, 0, 0, 0, 0", 1),
        (101, "ptrace", "0, 0, 0, 0", 1),
        (310, "process_vm_readv", "1, 0, 0, 0, 0, 0", 1),
        (135, "personality", "0x40000", 1),
        (304, "open_by_handle_at", "0, 0, 0", 1),
        (317, "seccomp", "1, 0, 0", 1),
        (105, "setuid", "0", 1),
        (126, "capset", "0, 0", 1),
        (191, "getxattr", "b'.', b'user.x', 0, 0", 95),
        (41, "socket(AF_ALG)", "38, 5, 0", 97),
        (41, "socket(AF_VSOCK)", "40, 1, 0", 97),
        (29, "shmget", "0, 4096, 0o1600", 1),
        (16, "ioctl(TIOCSTI)", "0, 0x5412, 0", 1),
        (9999, "an unknown number", "0", 38),
    ];
    let tries: String = calls
        .iter()
        .map(|(number, name, arguments, _)| {
            format!("ctypes.set_errno(0); r = libc.syscall({number}, {arguments}); print(r, ctypes.get_errno(), '{name}')\n")
        })
        .collect();
    let expected: String =
        calls.iter().map(|(_, name, _, errno)| format!("-1 {errno} {name}\n")).collect();

    let code = format!("import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n{tries}");

    assert_eq!(run(&server, &code).await.ok(), expected);
}

/// [I07]
#[tokio::test]
async fn the_code_is_unprivileged_and_cannot_change_its_user() {
    let server = TestServer::start("").await;
    let code = "import os, ctypes\n\
        prctl = ctypes.CDLL(None).prctl\n\
        # PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS, and each capability of the bounding set\n\
        print(any(prctl(23, c, 0, 0, 0) == 1 for c in range(41)), os.getgroups(), prctl(21), prctl(39, 0, 0, 0, 0))\n\
        print({os.getuid(), os.geteuid(), os.getgid(), os.getegid()})";
    let mut users = std::collections::HashSet::new();
    for _ in 0..2 {
        let output = run(&server, code).await.ok();
        let user = output.strip_prefix("False [] 2 1\n{").and_then(|rest| rest.strip_suffix("}\n"));
        let user: u32 = user.and_then(|user| user.parse().ok()).expect(&output);
        assert!(user >= 1000, "{output}");
        users.insert(user);
    }
    match is_namespaced(&server).await {
        true => assert_eq!(users, [1000].into(), "its user outside is not visible"),
        false => assert_eq!(users.len(), 2, "each cell has its own user: {users:?}"),
    }
}
