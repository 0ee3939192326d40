//! Escapes that an attacker with our source might try: each fails, and affects only the run that tries
//! it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{alive, execute, execute_within, python, run, run_all};
use harness::TestServer;

const LIMIT: Duration = Duration::from_secs(1);

/// [F06] [F09] Such a child would be the warden's, which does not know it, and init would wait for the
/// warden to reap it.
#[tokio::test]
async fn no_child_can_be_reparented_to_the_codes_parent() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        # CLONE_PARENT with SIGCHLD, alone and together with what fork() and vfork() ask for
        for flags in (0x8011, 0x1208011, 0xC011):
            if (child := libc.syscall(56, flags, 0, 0, 0, 0)) == 0: os._exit(0)
            print(child, ctypes.get_errno(), flush=True)
        while True: pass
        ",
    );
    let began = Instant::now();
    let answer = execute_within(&server, &code, LIMIT).await;
    assert_eq!(answer["stdout"], "-1 1\n-1 1\n-1 1\n");
    assert_eq!(answer["outcome"], "deadline_exceeded");
    assert!(began.elapsed() < LIMIT * 3, "it took {:?}", began.elapsed());
    alive(&server).await;
}

/// [F06] [H01]
#[tokio::test]
async fn no_clone_flag_prevents_a_run_from_ending() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        alone = {8, 19}  # shared memory and private registers, possible only for a thread
        made = 0
        for bit in range(8, 32):
            if bit in alone: continue
            child = libc.syscall(56, 1 << bit | 17, 0, 0, 0, 0)
            if child == 0: os._exit(0)
            made += child > 0
        print(made > 3)
        while True: pass
        ",
    );
    let answer = execute(&server, &code).await;
    assert_eq!(
        (&answer["outcome"], &answer["stdout"]),
        (&json!("deadline_exceeded"), &json!("True\n"))
    );
    alive(&server).await;
}

/// [G07]
#[tokio::test]
async fn a_run_that_closes_its_channels_has_the_same_limits() {
    let server = TestServer::start("").await;
    let hang_up = "import os, socket\nsocket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RDWR)\n";
    let cases =
        [("while True: print('x' * 100_000)", "output_bytes"), ("while True: pass", "wall_ms")];
    for (code, limit) in cases {
        let answer = execute(&server, &format!("{hang_up}{code}")).await;
        assert_eq!(answer["limit"]["name"], limit, "{code}: {answer:.300}");
        alive(&server).await;
    }
    let honest = format!("{hang_up}for i in range(100_000): print(i)");
    let answer = execute(&server, &honest).await;
    let stdout = answer["stdout"].as_str().expect("it is text");
    assert!(stdout.ends_with("\n99999\n"), "{} bytes", stdout.len());
}

/// [G07] [D06]
#[tokio::test]
async fn a_runner_that_accepts_no_more_code_does_not_block_its_interaction() {
    let server = TestServer::start("").await;
    let deaf = "import os, runner, socket, time\nrunner.receive = lambda: time.sleep(1e6)\n\
        socket.socket(fileno=os.dup(3)).shutdown(socket.SHUT_RD)";
    let runs = run_all(&server, &[deaf, "print(1)"]).await;
    assert!(!runs[0].is_error, "{runs:?}");
    assert!(runs[1].is_error && runs[1].result.contains("TimeoutError"), "{runs:?}");
    alive(&server).await;
}

/// [G07]
#[tokio::test]
async fn a_forged_status_is_used_once_and_affects_no_other_run() {
    let server = TestServer::start("").await;
    let flood = python(
        r"
        import os
        print('before', flush=True)
        while True: os.write(3, bytes(1 << 16))
        ",
    );
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(execute(&server, &flood).await["stdout"], "before\n");
        assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    }
    alive(&server).await;
}

/// [H08] The page at 0xffffffffff600000, through which old programs call the kernel without a system-call
/// instruction.
#[tokio::test]
async fn calls_through_the_vsyscall_page_are_filtered_too() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes
        call = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        print(call(0xFFFFFFFFFF600400)(None, None))  # time
        ",
    );
    let ran = run(&server, &code).await;
    // Refused with ENOSYS, or the machine has no such page.
    let refused = (false, "-38\n");
    let absent = (true, "Crashed: segmentation fault (SIGSEGV)\n");
    assert!([refused, absent].contains(&(ran.is_error, ran.result.as_str())), "{ran:?}");
    alive(&server).await;
}

/// [H08] Where a null pointer in the kernel would point.
#[tokio::test]
async fn nothing_can_be_mapped_at_the_address_zero() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True); libc.mmap.restype = ctypes.c_long
        print(libc.mmap(None, 4096, 3, 0x32, -1, 0), ctypes.get_errno())  # private, anonymous, fixed
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "-1 1\n");
}

/// [G18] [G04]
#[tokio::test]
async fn a_closed_or_redirected_image_channel_harms_no_other_run() {
    let server = TestServer::start("").await;
    for tampering in [
        "s.shutdown(socket.SHUT_RDWR)",
        "s.shutdown(socket.SHUT_RD)",
        "os.close(4)",
        "os.dup2(1, 4); print('text for a picture' * 1000)",
        "os.dup2(4, 1); print('a picture for text' * 1000)",
        "os.dup2(3, 4)",
    ] {
        let code = format!(
            "import os, socket\ns = socket.socket(fileno=os.dup(4))\n{tampering}\n\
             os.write(2, b'on')"
        );
        let answer = execute(&server, &code).await;
        let output = answer["stderr"].as_str().expect("it is text");
        assert!(output.starts_with("on"), "{tampering}: {answer}");
        assert_eq!(answer["images"], json!([]), "{tampering}");
    }
    alive(&server).await;
}
