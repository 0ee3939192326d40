//! System calls by number on x86-64: all that could break the isolation fail with an error.

use crate::{alive, python, run};
use harness::TestServer;

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// Number, name and expected error with zeros for arguments.
const REFUSED: &[(i32, &str, i32)] = &[
    (272, "unshare", EPERM),
    (308, "setns", EPERM),
    (165, "mount", EPERM),
    (166, "umount2", EPERM),
    (155, "pivot_root", EPERM),
    (161, "chroot", EPERM),
    (428, "open_tree", EPERM),
    (429, "move_mount", EPERM),
    (430, "fsopen", EPERM),
    (431, "fsconfig", EPERM),
    (432, "fsmount", EPERM),
    (433, "fspick", EPERM),
    (442, "mount_setattr", EPERM),
    (457, "statmount", ENOSYS),
    (458, "listmount", ENOSYS),
    (425, "io_uring_setup", ENOSYS),
    (426, "io_uring_enter", ENOSYS),
    (427, "io_uring_register", ENOSYS),
    (321, "bpf", EPERM),
    (298, "perf_event_open", EPERM),
    (323, "userfaultfd", EPERM),
    (312, "kcmp", EPERM),
    (212, "lookup_dcookie", ENOSYS),
    (248, "add_key", EPERM),
    (249, "request_key", EPERM),
    (250, "keyctl", EPERM),
    (101, "ptrace", EPERM),
    (310, "process_vm_readv", EPERM),
    (311, "process_vm_writev", EPERM),
    (438, "pidfd_getfd", EPERM),
    (440, "process_madvise", EPERM),
    (154, "modify_ldt", EPERM),
    (173, "ioperm", EPERM),
    (172, "iopl", EPERM),
    (175, "init_module", EPERM),
    (313, "finit_module", EPERM),
    (176, "delete_module", EPERM),
    (246, "kexec_load", EPERM),
    (320, "kexec_file_load", EPERM),
    (169, "reboot", EPERM),
    (167, "swapon", EPERM),
    (168, "swapoff", EPERM),
    (163, "acct", EPERM),
    (179, "quotactl", EPERM),
    (103, "syslog", EPERM),
    (170, "sethostname", EPERM),
    (171, "setdomainname", EPERM),
    (164, "settimeofday", EPERM),
    (159, "adjtimex", EPERM),
    (227, "clock_settime", EPERM),
    (305, "clock_adjtime", EPERM),
    (319, "memfd_create", EPERM),
    (447, "memfd_secret", ENOSYS),
    (322, "execveat", EPERM),
    (303, "name_to_handle_at", EPERM),
    (304, "open_by_handle_at", EPERM),
    (300, "fanotify_init", EPERM),
    (278, "vmsplice", EPERM),
    (275, "splice", EPERM),
    (276, "tee", EPERM),
    (188, "setxattr", EOPNOTSUPP),
    (189, "lsetxattr", EOPNOTSUPP),
    (190, "fsetxattr", EOPNOTSUPP),
    (29, "shmget", EPERM),
    (68, "msgget", EPERM),
    (64, "semget", EPERM),
    (240, "mq_open", EPERM),
    (149, "mlock", EPERM),
    (151, "mlockall", EPERM),
    (256, "migrate_pages", EPERM),
    (279, "move_pages", EPERM),
    (105, "setuid", EPERM),
    (117, "setresuid", EPERM),
    (116, "setgroups", EPERM),
    (126, "capset", EPERM),
    (317, "seccomp", EPERM),
    (444, "landlock_create_ruleset", ENOSYS),
    (135, "personality", EPERM),
    (92, "chown", EPERM),
    (437, "openat2", ENOSYS),
    (216, "remap_file_pages", ENOSYS),
    (134, "uselib", EPERM),
    (139, "sysfs", EPERM),
    (136, "ustat", EPERM),
    (153, "vhangup", EPERM),
    (435, "clone3", ENOSYS),
    (0x4000_0000 + 39, "getpid in the way of x32", ENOSYS),
    (600, "an unknown number", ENOSYS),
];

/// [F10] [F16] [H02] [H03] [H04] [H05] [H06] [H07] [H08] [H09] [H14] [H15] [H18] [H19] [H20]
#[tokio::test]
async fn each_dangerous_call_is_refused_with_an_error() {
    let server = TestServer::start("").await;
    let code = format!(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         for number in {:?}:\n\
         \x20   ctypes.set_errno(0); print(libc.syscall(number, 0, 0, 0, 0, 0, 0), ctypes.get_errno())",
        REFUSED.iter().map(|(number, ..)| number).collect::<Vec<_>>()
    );
    let output = run(&server, &code).await.ok();
    assert_eq!(output.lines().count(), REFUSED.len());
    for (line, (_, name, errno)) in output.lines().zip(REFUSED) {
        assert_eq!(line, format!("-1 {errno}"), "{name}");
    }
    alive(&server).await;
}

/// [H01]
#[tokio::test]
async fn no_clone_flag_creates_a_namespace_and_forks_and_threads_work() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os, threading
        libc = ctypes.CDLL(None, use_errno=True)
        made = []
        for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
            for call in ((56, bit | 17, 0, 0, 0, 0), (272, bit)):
                ctypes.set_errno(0)
                if libc.syscall(*call) != -1 or ctypes.get_errno() != 1: made.append((call, ctypes.get_errno()))
        print(made)
        if (child := os.fork()) == 0: os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        thread = threading.Thread(target=print, args=['thread']); thread.start(); thread.join()
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "[]\n7\nthread\n");
}

/// [H10] [J03]
#[tokio::test]
async fn only_local_sockets_can_be_created() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        pair, had, other = (ctypes.c_int * 2)(), set(), set()
        for family in range(64):
            for kind in (1, 2, 3, 5):
                for call in (lambda: libc.socket(family, kind, 0), lambda: libc.socketpair(family, kind, 0, pair)):
                    ctypes.set_errno(0)
                    if call() >= 0: had.add(family)
                    elif family != 1: other.add(ctypes.get_errno())
        print(had, other)
        ",
    );
    // 97 is EAFNOSUPPORT.
    assert_eq!(run(&server, &code).await.ok(), "{1} {97}\n");
}

/// [H17]
#[tokio::test]
async fn only_harmless_ioctl_requests_are_allowed() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        file = os.open('f', os.O_CREAT | os.O_RDWR)
        # TIOCSTI, TIOCLINUX, SIOCGIFCONF, SIOCGIFHWADDR, KVM, FIBMAP, FS_IOC_SETFLAGS, BTRFS, BLKFLSBUF,
        # and the first again with a bit that the kernel ignores
        for request in (0x5412, 0x541C, 0x8912, 0x8927, 0xAE00, 1, 0x40086602, 0x50009417, 0x1261, 0x100005412):
            ctypes.set_errno(0)
            print(libc.syscall(16, file, ctypes.c_ulong(request), None), ctypes.get_errno())
        print(os.isatty(1))
        ",
    );
    let expected = "-1 1\n".repeat(10) + "False\n";
    assert_eq!(run(&server, &code).await.ok(), expected);
}

/// [H13]
#[tokio::test]
async fn no_filter_can_be_added_or_removed() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.prctl(22, 1, 0, 0, 0), libc.prctl(22, 2, 0, 0, 0))  # strict, and with no program
        class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
        code = ctypes.create_string_buffer(bytes.fromhex('060000000000ff7f'))  # allows everything
        program = ctypes.byref(Program(1, ctypes.addressof(code)))
        ctypes.set_errno(0); print(libc.prctl(22, 2, program, 0, 0), ctypes.get_errno())
        ctypes.set_errno(0); print(libc.syscall(317, 1, 0, program), ctypes.get_errno())
        print(libc.syscall(317, 1, 8, program))  # with a listener
        print(libc.prctl(38, 0, 0, 0, 0), libc.prctl(39, 0, 0, 0, 0), libc.prctl(21))  # new privileges: still none
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "-1 -1\n-1 1\n-1 1\n-1\n-1 1 2\n");
}

#[tokio::test]
async fn a_call_through_a_foreign_architectures_entry_point_ends_only_its_run() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, mmap
        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(b'\xb8\x14\x00\x00\x00\xcd\x80\xc3')  # mov eax, 20; int 0x80; ret
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
        ",
    );
    let output = run(&server, &code).await.failed();
    assert_eq!(output, "Crashed: forbidden system call (SIGSYS)\n");
    alive(&server).await;
}

/// [K11]
///
/// One second of it; longer runs use the same code.
#[tokio::test]
async fn random_calls_with_random_arguments_harm_no_other_run() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os, random, time
        libc = ctypes.CDLL(None)
        end, rounds = time.monotonic() + 1, 0
        while time.monotonic() < end:
            child = os.fork()
            if child == 0:
                dice = random.Random(os.urandom(8))
                os.close(1); os.close(2)
                values = [0, 1, 2, 3, -1, 4096, 1 << 63]
                for _ in range(300):
                    args = [ctypes.c_ulong(dice.choice([*values, dice.getrandbits(64)])) for _ in range(6)]
                    libc.syscall(ctypes.c_long(dice.randrange(600)), *args)
                os._exit(0)
            time.sleep(0.02)
            try: os.kill(child, 9); os.waitpid(child, 0)
            except OSError: pass
            rounds += 1
        print(rounds > 5)
        ",
    );
    let neighbour = "import time\nfor _ in range(20): time.sleep(0.05)\nprint('unharmed')";
    // The calls may harm only the process that makes them.
    let (a, b, unharmed) =
        tokio::join!(run(&server, &code), run(&server, &code), run(&server, neighbour));
    assert!(a.result.contains("True") || a.is_error, "{a:?}");
    assert!(b.result.contains("True") || b.is_error, "{b:?}");
    assert_eq!(unharmed.ok(), "unharmed\n");
    alive(&server).await;
}
