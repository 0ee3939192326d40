//! What can be learned of the machine: little, and nothing of neighbours.

use serde_json::json;

use crate::harness::TestServer;
use crate::{execute, python, run};

#[tokio::test]
async fn proc_is_a_handful_of_made_up_files() {
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

#[tokio::test]
async fn the_root_holds_what_python_needs_and_no_more() {
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
        "['group', 'hostname', 'hosts', 'nsswitch.conf', 'passwd']\n\
         ['full', 'null', 'random', 'shm', 'urandom', 'zero'] [[], [], [], [], []]\n\
         set()\n\
         user:x:1000:1000:user:/tmp:/bin/sh\nuser:x:1000:\n127.0.0.1 localhost\n"
    );
}

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
        found = [os.path.join(d, f) for d, _, files in os.walk('/') for f in files]
        kinds = [f for f in found if stat.S_ISBLK(os.lstat(f).st_mode) or stat.S_ISCHR(os.lstat(f).st_mode)]
        print(sorted(kinds))
        ",
    );
    let expected = "b'\\x00\\x00\\x00' 9 \n1\n28\n\
        ['/dev/full', '/dev/null', '/dev/random', '/dev/urandom', '/dev/zero']\n";
    assert_eq!(run(&server, &code).await.ok(), expected);
}

#[tokio::test]
async fn every_file_system_is_mounted_so_that_it_gives_no_rights() {
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

#[tokio::test]
async fn what_setuid_programs_there_are_give_nothing() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os, subprocess
        print([p for p in ('su', 'sudo', 'mount', 'ping', 'newuidmap') if os.path.exists('/usr/bin/' + p)])
        os.chmod('.', 0o6777)
        print(subprocess.run(['id', '-u'], capture_output=True, text=True).stdout.strip(), ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "[]\n1000 1\n");
}

#[tokio::test]
async fn what_the_server_says_of_its_wall_is_what_the_code_finds() {
    let server = TestServer::start("").await;
    let said = server.get("/x/isolation").await.body;
    let answer = execute(
        &server,
        "import ctypes, os\nprctl = ctypes.CDLL(None).prctl\n\
         print(os.getpid() < 10, prctl(21), prctl(39, 0, 0, 0, 0), os.path.exists('/proc/1'))",
    )
    .await;
    assert_eq!(answer["stdout"], "True 2 1 False\n");
    assert_eq!(
        (&answer["isolation"]["tier"], &said["tier"]),
        (&json!("namespaced"), &json!("namespaced"))
    );
    let layers = said["layers"].as_array().expect("a list");
    for name in ["namespaces", "root", "capabilities", "seccomp"] {
        assert!(
            layers.iter().any(|layer| layer["name"] == name && layer["holds"] == true),
            "{said}"
        );
    }
}

#[tokio::test]
async fn no_text_of_the_server_names_its_own_files() {
    let server = TestServer::start("").await;
    let target =
        std::path::Path::new(env!("CARGO_BIN_EXE_belljar")).parent().expect("it is in a folder");
    let (home, target) =
        (std::env::var("HOME").unwrap_or("/nowhere".into()), target.display().to_string());
    for code in [
        "1/0",
        "import os; os.abort()",
        "import nothing",
        "x = (",
        "import sys; print(sys.path, sys.flags, sys.orig_argv)",
    ] {
        let told = run(&server, code).await.result;
        assert!(!told.contains(&target) && !told.contains(&format!("{home}/")), "{told}");
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
