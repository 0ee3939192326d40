//! Machines that lack a feature, simulated on this one, which requires root: where isolation is possible
//! the warden starts, and otherwise it reports why not.

mod uncounted;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::host::until;
use crate::{alive, execute, python, run};
use harness::{TestServer, Warden, below, warden_program};

/// A warden in a mount namespace of its own, which a shell command has changed before.
fn warden_after(change: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", change, "sh"]);
    command.arg(warden_program());
    command
}

/// [K14] Linux creates no user namespace for a process in a `chroot`.
#[test]
fn a_warden_that_requires_user_namespaces_does_not_start_without_them() {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().display();
    let mut warden =
        warden_after(&format!("mount --rbind / '{path}'\nexec chroot '{path}' \"$@\""));
    let words = Warden::fail_by(&mut warden, &["--min-isolation", "namespaced"]);
    let last = words.lines().last().expect("there are some");
    assert!(last.contains("CLONE_NEWUSER") && last.contains("EPERM"), "{words}");
}

/// [K14] As in a container, where parts of `/proc` are masked and little else exists.
#[tokio::test]
async fn the_warden_needs_neither_proc_nor_shared_memory_nor_sys() {
    let changes = "mount --bind /dev/null /proc/kallsyms\nmount -t tmpfs -o ro cover /proc/sys\n\
        mount -t tmpfs -o ro cover /dev/shm\nmount -t tmpfs -o ro cover /sys\nexec \"$@\"";
    let warden = Warden::start_by(warden_after(changes), &[]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = "from multiprocessing import shared_memory\n\
        x = shared_memory.SharedMemory(create=True, size=9); x.close(); x.unlink(); print('works')";
    assert_eq!(run(&server, code).await.ok(), "works\n");
    assert_eq!(server.get("/x/isolation").await.body["tier"], "namespaced");
    alive(&server).await;
}

/// A warden on a machine without user namespaces, with these options of `without_user_namespaces.py`.
fn without_user_namespaces(arguments: &[&str]) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/wall/without_user_namespaces.py");
    let mut command = Command::new("python3");
    command.arg(script).args(arguments).arg(warden_program());
    command
}

/// [K14] [I12]
#[tokio::test]
async fn without_namespaces_users_and_landlock_isolate_cells() {
    let warden = Warden::start_by(without_user_namespaces(&[]), &[]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let wall = server.get("/x/isolation").await.body;
    let layer = |name: &str| {
        let layers = wall["layers"].as_array().expect("it has layers");
        layers.iter().find(|layer| layer["name"] == name).expect("it is named").clone()
    };
    assert_eq!(wall["tier"], "landlocked", "{wall}");
    assert_eq!(layer("namespaces")["holds"], false);
    assert!(layer("namespaces")["detail"].to_string().contains("sysctl"), "{wall}");
    assert_eq!(
        (&layer("users")["holds"], &layer("landlock")["holds"]),
        (&true.into(), &true.into())
    );

    // Standbys already have their folders, and the cell that tries to reach the others is one of them.
    let mut cells = Vec::new();
    until("two standbys", || {
        cells = cell_folders(&warden);
        cells.len() > 1
    })
    .await;
    let code = python(&format!(
        r"
        import os, socket
        def reach(act):
            try: act()
            except OSError as e: return e.errno
            return 'reached'
        own = os.path.dirname(os.getcwd())
        others = [cell for cell in {cells:?} if cell != own]
        GONE = 2  # a standby that has been replaced meanwhile
        for act in (os.listdir, lambda cell: open(cell + '/workspace/x', 'w')):
            print(len(others) > 0, {{reach(lambda: act(cell)) for cell in others}} - {{GONE}})
        print({{reach(lambda: open(f)) for f in ('/etc/passwd', '/proc/1/status', '/proc/self/environ')}})
        print(reach(lambda: os.listdir('/')), reach(lambda: open('/tmp/belljar-{test}', 'w')))
        print(reach(lambda: socket.socket(socket.AF_UNIX).connect({socket:?})))
        print([reach(lambda: os.kill(process, 9)) for process in (os.getppid(), {test})])
        ",
        socket = warden.socket(),
        test = std::process::id(),
    ));
    // 13 is EACCES, 1 is EPERM.
    let expected = "True {13}\nTrue {13}\n{13}\n13 13\n13\n[1, 1]\n";
    assert_eq!(run(&server, &code).await.ok(), expected);
    alive(&server).await;
}

/// The scratch folders of cells on a shared root.
fn cell_folders(warden: &Warden) -> Vec<String> {
    let within = |folder: &Path, prefix: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("it is ours").flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        named.map(|entry| entry.path()).collect()
    };
    let socket = warden.socket();
    let folders = within(socket.parent().expect("it lies in a folder"), "work-");
    let cells = folders.iter().flat_map(|folder| within(folder, "cell-"));
    cells.map(|cell| cell.display().to_string()).collect()
}

/// [C23] [C24] There only the warden limits scratch space.
#[tokio::test]
async fn without_namespaces_scratch_space_is_limited() {
    let arguments = ["--scratch-mib", "50", "--scratch-files", "2000", "--wall-ms", "20000"];
    let warden = Warden::start_by(without_user_namespaces(&[]), &arguments);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let cases = [
        ("for i in range(100): open(f'{i}', 'wb').write(bytes(1 << 20))", "disk_bytes", 50 << 20),
        ("for i in range(9000): open(f'{i}', 'w').close()", "disk_files", 2000),
    ];
    for (code, name, value) in cases {
        let code = format!("print('before', flush=True)\n{code}\nimport time; time.sleep(15)");
        let answer = execute(&server, &code).await;
        assert_eq!(answer["limit"], json!({"name": name, "value": value}), "{answer}");
        assert_eq!((&answer["outcome"], &answer["stdout"]), (&json!("failed"), &json!("before\n")));
        alive(&server).await;
    }
}

/// [E04] [E05] There only the warden counts memory, and it may not inspect other users' processes.
#[tokio::test]
async fn with_the_privileges_of_a_containers_root_total_memory_is_limited() {
    let arguments = ["--memory-mib", "512", "--wall-ms", "20000"];
    let warden = Warden::start_by(without_user_namespaces(&["--as-in-docker"]), &arguments);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let many = |each_mib: u32, seconds: u32| {
        python(&format!(
            r"
            import os, time
            print('before', flush=True)
            for _ in range(8):
                if os.fork() == 0: x = b'x' * ({each_mib} << 20); time.sleep({seconds}); os._exit(0)
            time.sleep({seconds})
            "
        ))
    };
    // Memory that all processes share with the libraries, eight times the limit, does not count.
    let honest = execute(&server, &many(20, 2)).await;
    assert_eq!((&honest["outcome"], &honest["stdout"]), (&json!("ok"), &json!("before\n")));
    let closed = format!("import ctypes; ctypes.CDLL(None).prctl(4, 0)\n{}", many(100, 60));
    let in_files = "print('before', flush=True)\nimport os, time\n\
        for n in range(3): open(f'/dev/shm/{os.getpid()}-{n}', 'wb').write(bytes(100 << 20))\n\
        x = b'x' * (300 << 20); time.sleep(60)";
    for code in [&many(100, 60), &closed, in_files] {
        let answer = execute(&server, code).await;
        assert_eq!(
            answer["limit"],
            json!({"name": "memory_bytes", "value": 512 << 20}),
            "{answer}"
        );
        assert_eq!(answer["stdout"], "before\n");
        alive(&server).await;
    }
}

/// [D07] [F05] [K07]
#[tokio::test]
async fn without_namespaces_nothing_is_left_of_a_run_either() {
    let warden = Warden::start_by(without_user_namespaces(&[]), &[]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    alive(&server).await;
    let code = "import os, time\nopen('/dev/shm/left', 'w').write('x'); os.mkdir('closed', 0)\n\
        for _ in range(5):\n\
        \x20   if os.fork() == 0: os.setsid(); os.fork(); time.sleep(1000)\n\
        print(os.getuid(), os.getcwd())";
    let output = run(&server, code).await.ok();
    let (user, work) = output.trim().split_once(' ').expect("it prints two words");
    let folder = Path::new(work).parent().expect("it is a folder in one").to_owned();
    let of_user = |process: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        status.is_ok_and(|status| status.contains(&format!("Uid:\t{user}\t")))
    };
    until("the run's processes and files are gone", || {
        !below(warden.id()).iter().any(of_user)
            && !folder.exists()
            && !Path::new("/dev/shm/left").exists()
    })
    .await;
    alive(&server).await;
}

/// [K14] The warden does not start with weaker isolation than requested, and names the flag to allow it.
#[tokio::test]
async fn without_landlock_the_warden_starts_only_if_allowed_explicitly() {
    let words = Warden::fail_by(&mut without_user_namespaces(&["--without-landlock"]), &[]);
    let last = words.lines().last().expect("there are some");
    for part in ["seccomp-only", "requires landlocked", "landlock: this kernel has none", "sysctl"]
    {
        assert!(last.contains(part), "nothing about {part}: {words}");
    }
    let asked = ["--min-isolation", "seccomp-only"];
    let warden = Warden::start_by(without_user_namespaces(&["--without-landlock"]), &asked);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    alive(&server).await;
    assert_eq!(server.get("/x/isolation").await.body["tier"], "seccomp-only");
}

/// [E12] The kernel enforces each cell's limits, and removes them with the cell.
#[tokio::test]
async fn with_cgroups_the_kernel_enforces_the_limits() {
    let warden = Warden::start(&["--memory-mib", "600", "--processes", "40"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let wall = server.get("/x/isolation").await.body;
    let layers = wall["layers"].as_array().expect("it has layers");
    let group = layers.iter().find(|layer| layer["name"] == "cgroup").expect("it is named");
    assert_eq!(group["holds"], true, "{group}");
    // Faster than the warden's polling, and with shared memory, which belongs to no single process.
    let code = "import mmap\nprint('before', flush=True)\nx = mmap.mmap(-1, 1 << 30)\n\
        for at in range(0, 1 << 30, 1 << 20): x[at : at + (1 << 20)] = bytes(1 << 20)";
    let answer = execute(&server, code).await;
    let limit = json!({"name": "memory_bytes", "value": 600 << 20});
    assert_eq!((&answer["stdout"], &answer["limit"]), (&json!("before\n"), &limit), "{answer}");
    let made_by = format!("belljar-{}-", warden.id());
    let groups = || groups_named(Path::new("/sys/fs/cgroup"), &made_by, 6);
    let standbys = groups();
    assert!(!standbys.is_empty(), "its standbys have groups");
    for group in standbys.iter().filter(|group| group.join("memory.stat").exists()) {
        let swap = swap_bytes(group);
        assert!(swap.is_none_or(|bytes| bytes <= 4096), "{}: {swap:?}", group.display());
    }
    drop((server, warden));
    assert_eq!(groups(), Vec::<PathBuf>::new());
}

fn groups_named(folder: &Path, prefix: &str, depth: usize) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found = Vec::new();
    for entry in folders {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
        if depth > 0 {
            found.extend(groups_named(&entry.path(), prefix, depth - 1));
        }
    }
    found
}

/// How much of a group's memory may be swapped out. `None` if the kernel does not account for swap.
fn swap_bytes(group: &Path) -> Option<u64> {
    let read = |file: &str| std::fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
    let both: Option<u64> = read("memory.memsw.limit_in_bytes");
    let second = both.and_then(|both| Some(both - read("memory.limit_in_bytes")?));
    second.or_else(|| read("memory.swap.max"))
}

/// [E04] [G09] It belongs to no process; the kernel holds it.
#[tokio::test]
async fn with_cgroups_data_in_sockets_counts_as_memory() {
    let warden = Warden::start(&["--memory-mib", "512", "--wall-ms", "20000"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = python(
        r"
        import os, socket, time
        print('before', flush=True)
        def fill(end):
            end.setblocking(False)
            try:
                while True: end.send(bytes(1 << 15))
            except BlockingIOError: return end
        for _ in range(30):
            if os.fork() == 0:
                kept = []
                try:
                    while True: kept += map(fill, socket.socketpair())
                except OSError: time.sleep(60)
        time.sleep(60)
        ",
    );
    let answer = execute(&server, &code).await;
    let limit = json!({"name": "memory_bytes", "value": 512 << 20});
    assert_eq!((&answer["stdout"], &answer["limit"]), (&json!("before\n"), &limit), "{answer}");
    alive(&server).await;
}

/// A process cannot hide by its name: names need not be UTF-8, and children of a process with such a name
/// are found as well.
#[tokio::test]
async fn a_process_name_that_is_not_utf_8_hides_neither_memory_nor_cpu_time() {
    let limits = ["--memory-mib", "512", "--cpu-ms", "1500", "--wall-ms", "20000"];
    let hidden = "mount -t tmpfs none /sys/fs/cgroup\nexec \"$@\"";
    let wardens = [
        Warden::start(&limits),
        Warden::start_by(warden_after(hidden), &limits),
        Warden::start_by(without_user_namespaces(&["--as-in-docker"]), &limits),
    ];
    let name = "import ctypes, os, time\nlibc = ctypes.CDLL(None); libc.prctl(15, b'\\xff', 0, 0, 0)\n\
        print('before', flush=True)\n";
    let memory = "for _ in range(3):\n\
        \x20   if os.fork() == 0: libc.prctl(15, b'\\xc3(', 0, 0, 0); x = b'x' * (300 << 20); time.sleep(60)\n\
        time.sleep(60)";
    let time = "for _ in range(2):\n\
        \x20   if os.fork() == 0:\n\
        \x20       while True: pass\n\
        time.sleep(60)";
    for warden in &wardens {
        let server = TestServer::builder().sandbox(&warden.socket()).start().await;
        for (code, limit, value) in [(memory, "memory_bytes", 512 << 20), (time, "cpu_ms", 1500)] {
            let answer = execute(&server, &format!("{name}{code}")).await;
            assert_eq!(answer["limit"], json!({"name": limit, "value": value}), "{answer:.500}");
            assert_eq!(answer["stdout"], "before\n");
        }
        alive(&server).await;
    }
}

/// [E04] Page tables are memory that no limit on a process covers.
#[tokio::test]
async fn without_cgroups_page_tables_count_as_memory() {
    let limits = ["--memory-mib", "512", "--wall-ms", "20000"];
    let hidden = "mount -t tmpfs none /sys/fs/cgroup\nexec \"$@\"";
    let warden = Warden::start_by(warden_after(hidden), &limits);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = python(
        r"
        import ctypes, time
        libc = ctypes.CDLL(None, use_errno=True); libc.mmap.restype = ctypes.c_void_p
        print('before', flush=True)
        # 400 GiB, read only, of which one page in each 2 MiB is there: 800 MiB of tables.
        start = libc.mmap(None, ctypes.c_size_t(400 << 30), 1, 0x4022, -1, 0)
        for at in range(0, 400 << 30, 2 << 20): libc.madvise(ctypes.c_void_p(start + at), ctypes.c_size_t(4096), 22)
        time.sleep(60)
        ",
    );
    let answer = execute(&server, &code).await;
    let limit = json!({"name": "memory_bytes", "value": 512 << 20});
    assert_eq!(
        (&answer["stdout"], &answer["limit"]),
        (&json!("before\n"), &limit),
        "{answer:.500}"
    );
    alive(&server).await;
}

/// A warden that cannot create cgroups, with these limits.
fn watched(limits: &[&str]) -> Warden {
    Warden::start_by(warden_after("mount -t tmpfs none /sys/fs/cgroup\nexec \"$@\""), limits)
}

/// [E04] Resident pages of a shared mapping can be hidden, and still use memory.
#[tokio::test]
async fn without_cgroups_hidden_shared_memory_counts() {
    let limits = ["--memory-mib", "512", "--wall-ms", "20000"];
    let wardens =
        [watched(&limits), Warden::start_by(without_user_namespaces(&["--as-in-docker"]), &limits)];
    // By a readable process, by one that is not dumpable, and with an executable mapping, which the kernel
    // counts with the libraries.
    let ways = [
        "hide(m)",
        "libc.prctl(4, 0, 0, 0, 0); hide(m)",
        "hide(m); libc.mprotect(address(m), ctypes.c_size_t(len(m)), 5)",
    ];
    for warden in &wardens {
        let server = TestServer::builder().sandbox(&warden.socket()).start().await;
        for way in ways {
            let code = python(&format!(
                r"
                import ctypes, mmap, os, time
                libc = ctypes.CDLL(None, use_errno=True)
                print('before', flush=True)
                kept = []
                def address(m): return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m)))
                def hide(m):
                    for at in range(0, len(m), 1 << 20): m[at:at + (1 << 20)] = bytes(1 << 20)
                    libc.madvise(address(m), ctypes.c_size_t(len(m)), 4); kept.append(m)
                if os.fork() == 0:
                    for _ in range(18):
                        m = mmap.mmap(-1, 50 << 20); {way}
                    time.sleep(60)
                time.sleep(60)
                "
            ));
            let answer = execute(&server, &code).await;
            let limit = json!({"name": "memory_bytes", "value": 512 << 20});
            assert_eq!(
                (&answer["stdout"], &answer["limit"]),
                (&json!("before\n"), &limit),
                "{way}: {answer:.500}"
            );
        }
        // A mapping of several processes counts once, and a large mapping within the limit is allowed.
        let code = python(
            r"
            import mmap, os, time
            m = mmap.mmap(-1, 300 << 20)
            for at in range(0, len(m), 1 << 20): m[at:at + (1 << 20)] = bytes(1 << 20)
            children = []
            for _ in range(6):
                child = os.fork()
                if child == 0: m[::1 << 20]; time.sleep(0.5); os._exit(0)
                children.append(child)
            for child in children: os.waitpid(child, 0)
            print('all of it')
            ",
        );
        assert_eq!(run(&server, &code).await.ok(), "all of it\n");
    }
}

/// [E04] [G09] Pending connections hold the data sent, and need no descriptor.
#[tokio::test]
async fn without_cgroups_data_in_sockets_counts_as_memory() {
    let warden = watched(&["--memory-mib", "512", "--wall-ms", "20000"]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = python(
        r"
        import socket, time
        print('before', flush=True)
        kept = []
        for n in range(40):
            listener = socket.socket(socket.AF_UNIX); listener.bind(f'{n}'); listener.listen(128)
            kept.append(listener)
            for _ in range(128):
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(f'{n}'); s.setblocking(False)
                    try:
                        while True: s.send(bytes(1 << 17))
                    except BlockingIOError: pass
        time.sleep(60)
        ",
    );
    let answer = execute(&server, &code).await;
    let limit = json!({"name": "memory_bytes", "value": 512 << 20});
    assert_eq!(
        (&answer["stdout"], &answer["limit"]),
        (&json!("before\n"), &limit),
        "{answer:.500}"
    );
    let some = "import socket\nkept = [socket.socketpair() for _ in range(110)]\nimport time\n\
        time.sleep(0.5); print(len(kept))";
    assert_eq!(run(&server, some).await.ok(), "110\n");
}

/// [E09] Each mapping makes it slower to measure the cell's memory.
#[tokio::test]
async fn without_cgroups_mappings_of_all_processes_together_are_limited() {
    let limits = ["--memory-mib", "512", "--wall-ms", "20000", "--mappings", "50000"];
    let warden = watched(&limits);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let code = python(
        r"
        import ctypes, os, time
        libc = ctypes.CDLL(None, use_errno=True); libc.mmap.restype = ctypes.c_long
        print('before', flush=True)
        for _ in range(6):
            if os.fork() == 0:
                for n in range(20_000): libc.mmap(None, 4096, 1 + n % 2 * 2, 0x22, -1, 0)
                x = b'x' * (75 << 20)
                time.sleep(60)
        time.sleep(60)
        ",
    );
    let answer = execute(&server, &code).await;
    let limit = json!({"name": "mappings", "value": 50_000});
    assert_eq!(
        (&answer["stdout"], &answer["limit"]),
        (&json!("before\n"), &limit),
        "{answer:.500}"
    );
    let words = "OSError: stopped, used more than 50000 mappings of memory\n";
    assert_eq!(answer["stderr"], words, "{answer:.500}");
    alive(&server).await;
}

/// The warden names limits that are too low when it starts, before a cell fails because of them.
#[test]
fn limits_too_low_to_start_are_named_with_the_minimum() {
    for (set, words) in [
        ("-n 64", "`ulimit -Hn` is 64, and 256 is needed"),
        ("-u 100", "`ulimit -Hu` is 100, and 513 is needed"),
        ("-f 2000", "`ulimit -Hf` is 2000 KiB, and 524288 KiB is needed"),
        ("-v 4000000", "`ulimit -Hv` is 4000000 KiB, and 6291456 KiB is needed"),
        ("-l 16", "`ulimit -Hl` is 16 KiB, and 64 KiB is needed"),
    ] {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]);
        command.args(["bash", "-euc", &format!("ulimit {set}\nexec \"$@\""), "bash"]);
        command.arg(warden_program());
        let output = Warden::fail_by(&mut command, &[]);
        let last = output.lines().last().expect("there are some");
        assert!(last.contains("too low: ") && last.contains(words), "{set}: {output}");
    }
}

/// [E09] A process's mappings use no memory, but each makes it slower to measure its memory: meanwhile it
/// could be filled.
#[tokio::test]
async fn without_cgroups_slow_measurements_hide_no_memory() {
    // Once with the limit on mappings, and once with no limit but the other measures.
    for (most, limit) in [("400000", "mappings"), ("100000000", "memory_bytes")] {
        let limits = ["--memory-mib", "1024", "--wall-ms", "30000", "--mappings", most];
        let warden = watched(&[&limits[..], &["--kits", "bare"]].concat());
        let server = TestServer::builder().sandbox(&warden.socket()).start().await;
        let code = python(
            r"
            import ctypes, os, time
            libc = ctypes.CDLL(None, use_errno=True); libc.mmap.restype = ctypes.c_long
            # Two kinds alternate, so that the kernel does not merge them.
            for n in range(60_000): libc.mmap(None, ctypes.c_size_t(4096), 3, 0x22 + n % 2 * 0x4000, -1, 0)
            begin, begun = os.pipe()
            for _ in range(25):
                if os.fork() == 0:
                    os.close(begun); os.read(begin, 1)
                    kept = []
                    for _ in range(30): kept.append(b'x' * (5 << 20)); os.write(1, b'x'); time.sleep(0.2)
                    time.sleep(60)
            os.write(1, b'before\n'); os.close(begun); time.sleep(60)
            ",
        );
        let answer = execute(&server, &code).await;
        // On a busy machine a measurement can take too long, which counts as too much memory, before all
        // mappings are counted.
        let mut stops = vec![json!({"name": "memory_bytes", "value": 1 << 30})];
        if limit == "mappings" {
            stops.push(json!({"name": "mappings", "value": 400_000}));
        }
        assert!(stops.contains(&answer["limit"]), "{answer:.500}");
        let stdout = answer["stdout"].as_str().expect("it is text");
        // Mappings may be counted while they are created; memory grows only after all forks.
        let output = stdout.strip_prefix("before\n");
        assert!(output.is_some() || limit == "mappings", "all were forked before: {answer:.500}");
        let allocated = output.unwrap_or(stdout).len() * 5;
        // The limit, and what can be allocated during one measurement. When each measurement
        // was complete, 1900 MiB were allocated.
        assert!(allocated < 1500, "{limit}: {allocated} MiB");
        alive(&server).await;
    }
}

/// Memory that busy processes share counts once, however long it takes to measure.
#[tokio::test]
async fn without_cgroups_many_busy_processes_that_share_memory_are_not_stopped() {
    let limits = ["--wall-ms", "60000", "--cpu-ms", "120000"];
    for warden in
        [watched(&limits), Warden::start_by(without_user_namespaces(&["--as-in-docker"]), &limits)]
    {
        let server = TestServer::builder().sandbox(&warden.socket()).start().await;
        let code = python(
            r"
            import os, time
            import numpy, pandas, scipy.stats
            large = numpy.ones(300 << 17)
            children = []
            for _ in range(50):
                child = os.fork()
                if child == 0:
                    end = time.monotonic() + 4
                    while time.monotonic() < end: large[::512].sum()
                    os._exit(0)
                children.append(child)
            print({os.waitpid(child, 0)[1] for child in children})
            ",
        );
        assert_eq!(run(&server, &code).await.ok(), "{0}\n");
    }
}
