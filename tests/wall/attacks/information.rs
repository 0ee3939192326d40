//! Information about the machine: little, and nothing about other cells.

use serde_json::json;

use crate::{execute, is_namespaced, python, run, try_each};
use harness::TestServer;

/// [I01]
#[tokio::test]
async fn proc_contains_only_a_few_static_files() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        print(sorted(os.path.join(d, f) for d, _, files in os.walk('/proc') for f in files))
        print(open('/proc/self/cmdline').read(), open('/proc/cpuinfo').read().splitlines()[1])
        ",
    );
    assert_eq!(
        run(&server, &code).await.ok(),
        "['/proc/cpuinfo', '/proc/meminfo', '/proc/self/cmdline', '/proc/self/exe', '/proc/self/maps']\n\
         python3\0 model name\t: sandbox\n"
    );
}

/// [I04] [I06]
#[tokio::test]
async fn the_root_contains_only_what_python_needs() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        print(sorted(os.listdir('/etc')))
        print(sorted(os.listdir('/dev')), [os.listdir(d) for d in ('/var', '/run', '/mnt', '/tmp', '/dev/shm')])
        print(set(os.listdir('/')) - {'bin', 'dev', 'etc', 'lib', 'lib64', 'mnt', 'opt', 'proc', 'run', 'sbin', 'tmp', 'usr', 'var', 'workspace'})
        print(open('/etc/passwd').read() + open('/etc/group').read() + open('/etc/hosts').read(), end='')
        ",
    );
    assert_eq!(
        run(&server, &code).await.ok(),
        "['group', 'hostname', 'hosts', 'ld.so.preload', 'nsswitch.conf', 'passwd']\n\
         ['fd', 'full', 'null', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'urandom', 'zero'] [[], [], [], [], []]\n\
         set()\n\
         user:x:1000:1000:user:/tmp:/bin/sh\nuser:x:1000:\n127.0.0.1 localhost\n"
    );
}

/// [I06]
#[tokio::test]
async fn devices_are_the_harmless_ones() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, stat
        print(open('/dev/zero', 'rb').read(3), len(open('/dev/urandom', 'rb').read(9)), open('/dev/null').read())
        print(os.write(os.open('/dev/random', os.O_WRONLY), b'x'))
        try: os.write(os.open('/dev/full', os.O_WRONLY), b'x')
        except OSError as e: print(e.errno)
        others = ('tty', 'ptmx', 'console', 'kmsg', 'mem', 'kvm', 'fuse', 'net/tun', 'loop0', 'sda', 'vda', 'hwrng')
        def opens(device):
            try: os.close(os.open('/dev/' + device, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)); return True
            except OSError: return False
        print([device for device in others if opens(device)])
        found = []
        for folder, folders, files in os.walk('/'):
            folders[:] = [f for f in folders if f != 'site-packages']  # many, and all from wheels
            found += [os.path.join(folder, f) for f in files]
        kinds = [f for f in found if stat.S_IFMT(os.lstat(f).st_mode) in (stat.S_IFBLK, stat.S_IFCHR)]
        print(sorted(kinds))
        ",
    );
    // Paths that cannot be listed are not checked.
    let found = match is_namespaced(&server).await {
        true => "['/dev/full', '/dev/null', '/dev/random', '/dev/urandom', '/dev/zero']",
        false => "[]",
    };
    let expected = format!("b'\\x00\\x00\\x00' 9 \n1\n28\n[]\n{found}\n");
    assert_eq!(run(&server, &code).await.ok(), expected);
}

/// [I10]
#[tokio::test]
async fn every_file_system_is_mounted_nosuid_and_nodev() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import numpy, os
        scratch = ('/workspace', '/tmp', '/dev/shm')
        for path in ('/', '/usr/bin', os.path.dirname(os.__file__), os.path.dirname(numpy.__file__), *scratch):
            flags = os.statvfs(path).f_flag
            right = flags & os.ST_NOSUID and (flags & os.ST_NODEV and flags & os.ST_NOEXEC if path in scratch else flags & os.ST_RDONLY)
            if not right: print(path, flags)
        space = [os.statvfs(p) for p in scratch]
        print(len({(s.f_blocks, s.f_bfree, s.f_files) for s in space}), space[0].f_blocks * space[0].f_bsize >> 20)
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "1 512\n", "one disk of one's own");
}

/// [F15]
#[tokio::test]
async fn setuid_programs_give_no_privileges() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os, subprocess
        def runs(program):
            try: return subprocess.run(['/usr/bin/' + program, '--help'], capture_output=True)
            except (FileNotFoundError, PermissionError): return None
        print([p for p in ('su', 'sudo', 'mount', 'ping', 'newuidmap') if runs(p)])
        os.chmod('.', 0o6777)
        id = subprocess.run(['id', '-u'], capture_output=True, text=True).stdout.strip()
        print(id == str(os.getuid()) != '0', ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "[]\nTrue 1\n");
}

/// [I12]
#[tokio::test]
async fn the_reported_isolation_matches_what_the_code_observes() {
    let server = TestServer::start("").await;
    let reported = server.get("/x/isolation").await.body;
    let answer = execute(
        &server,
        "import ctypes, os\nprctl = ctypes.CDLL(None).prctl\n\
         print(os.getpid() < 10, prctl(21), prctl(39, 0, 0, 0, 0), os.path.exists('/proc/1'))",
    )
    .await;
    let (tier, found, holding) = match is_namespaced(&server).await {
        true => ("namespaced", "True 2 1 False\n", ["namespaces", "root"]),
        false => ("landlocked", "False 2 1 True\n", ["users", "landlock"]),
    };
    assert_eq!(answer["stdout"], found);
    assert_eq!((&answer["isolation"]["tier"], &reported["tier"]), (&json!(tier), &json!(tier)));
    let layers = reported["layers"].as_array().expect("a list");
    let holds =
        |name: &str| layers.iter().any(|layer| layer["name"] == name && layer["holds"] == true);
    for name in holding.into_iter().chain(["capabilities", "network", "seccomp", "rlimits"]) {
        assert!(holds(name), "{name}: {reported}");
    }
    assert_eq!(holds("namespaces"), tier == "namespaced", "{reported}");
}

/// [I09]
#[tokio::test]
async fn no_message_of_the_server_contains_its_paths() {
    let server = TestServer::start("").await;
    let program = harness::belljar();
    let target = program.parent().expect("it is in a folder");
    let (home, target) =
        (std::env::var("HOME").unwrap_or("/nowhere".into()), target.display().to_string());
    let mut codes = vec!["1/0", "import os; os.abort()", "import nothing", "x = ("];
    if is_namespaced(&server).await {
        // With other tiers Python's path is the machine's.
        codes.push("import sys; print(sys.path, sys.flags, sys.orig_argv)");
    }
    for code in codes {
        let output = run(&server, code).await.result;
        assert!(!output.contains(&target) && !output.contains(&format!("{home}/")), "{output}");
    }
    for (path, body) in
        [("/x/execute", json!({"code": 1})), ("/v1beta/interactions", json!({"model": []}))]
    {
        let reply = server.post(path, &body).await;
        assert!((400..500).contains(&reply.status), "{}", reply.body);
        assert!(
            !reply.body.to_string().contains(".rs") && !reply.message().is_empty(),
            "{}",
            reply.body
        );
    }
}

/// [I08] Only `sysinfo` reveals the machine's load, as docs/src/concepts/isolation.md states.
#[tokio::test]
async fn no_file_reveals_the_machines_load() {
    let server = TestServer::start("").await;
    let code = try_each(
        "import os",
        &[
            "open('/proc/uptime')",
            "open('/proc/loadavg')",
            "open('/proc/stat')",
            "open('/proc/version')",
            "import psutil",
            "assert os.sysconf('SC_NPROCESSORS_ONLN') == os.cpu_count() == len(os.sched_getaffinity(0))",
        ],
    );
    let output = run(&server, &code).await.ok();
    let namespaced = is_namespaced(&server).await;
    let refused = if namespaced { "FileNotFoundError 2\n" } else { "PermissionError 13\n" };
    assert_eq!(output, format!("{}ModuleNotFoundError None\nok\n", refused.repeat(4)));
    if namespaced {
        let memory = "print(open('/proc/meminfo').read())";
        let first = run(&server, memory).await.ok();
        assert_eq!(run(&server, memory).await.ok(), first, "it does not change");
    }
}

/// [F11] [I10]
#[tokio::test]
async fn only_own_processes_exist_among_65_thousand_ids() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        def errno(call, *a):
            try: call(*a); return 0
            except OSError as e: return e.errno
        numbers = range(3, 65_537)
        print(os.getpid(), {errno(os.kill, n, 0) for n in numbers}, {errno(os.sched_getaffinity, n) for n in numbers}, {errno(os.getpgid, n) for n in numbers})
        child = os.fork()
        if child == 0: os._exit(0)
        print(child)
        ",
    );
    // 3 is ESRCH. Process ids start from 1 in each cell.
    assert_eq!(run(&server, &code).await.ok(), "2 {3} {3} {3}\n3\n");
}

/// [H22]
#[tokio::test]
async fn speculation_controls_are_the_machines_and_cannot_be_disabled() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes
        prctl = ctypes.CDLL(None).prctl
        for which in (0, 1):  # store bypass, indirect branches
            before = prctl(52, which, 0, 0, 0)
            if prctl(53, which, 8, 0, 0) == 0:  # force-disabled
                print(prctl(53, which, 2, 0, 0) < 0, prctl(52, which, 0, 0, 0) & 8 == 8)
            else: print(True, prctl(52, which, 0, 0, 0) == before)
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "True True\n".repeat(2));
}
