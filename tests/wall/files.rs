//! Files: nothing of the machine is there, and nothing but the work directory can be written.

use crate::harness::TestServer;
use crate::{alive, python, run, try_each};

#[tokio::test]
async fn nothing_of_the_machine_is_there() {
    let server = TestServer::start("").await;
    // Files of this very test, which are there outside.
    let secret = tempfile::NamedTempFile::new().expect("there is a place for temporary files");
    let outside = secret.path().to_str().expect("a temporary path is text");
    let program = env!("CARGO_BIN_EXE_belljar");
    let paths = [
        outside,
        program,
        "/root",
        "/home",
        "/etc/shadow",
        "/etc/resolv.conf",
        "/sys",
        "/var/run",
        "/proc/1",
        "/proc/self/environ",
        "/proc/self/root",
        "/proc/kallsyms",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/kvm",
        "/dev/sda",
        "/dev/vda",
        "/run/secrets",
        "/var/run/docker.sock",
    ];
    let code = format!("import os\nprint([p for p in {paths:?} if os.path.lexists(p)])");

    assert!(secret.path().exists(), "the test has something to hide");
    assert_eq!(run(&server, &code).await.ok(), "[]\n");
}

#[tokio::test]
async fn only_the_scratch_space_can_be_written() {
    let server = TestServer::start("").await;
    let code = "import numpy, os\n\
        refused, written = [], []\n\
        folders = ['/', '/bin', '/dev', '/etc', '/lib', '/mnt', '/opt', '/opt/belljar', '/proc', '/run']\n\
        folders += ['/usr', '/usr/bin', '/usr/local', '/var', '/workspace', '/tmp', '/dev/shm']\n\
        folders += [os.path.dirname(os.__file__), os.path.dirname(numpy.__file__)]\n\
        for folder in folders:\n\
        \x20   try: open(folder + '/x', 'w').close(); written.append(folder)\n\
        \x20   except OSError as e: refused.append(e.errno)\n\
        print(written, len(refused), set(refused))";

    // 30 is EROFS.
    assert_eq!(run(&server, code).await.ok(), "['/workspace', '/tmp', '/dev/shm'] 16 {30}\n");
}

#[tokio::test]
async fn nothing_that_was_written_can_be_executed() {
    let server = TestServer::start("").await;
    let code = try_each(
        "import ctypes, os, shutil, subprocess\n\
         for d in ['/workspace', '/tmp', '/dev/shm']:\n\
         \x20   shutil.copy('/usr/bin/true', d + '/dropped'); os.chmod(d + '/dropped', 0o755)\n\
         assert subprocess.run(['/usr/bin/true']).returncode == 0",
        &[
            "subprocess.run(['/workspace/dropped'])",
            "subprocess.run(['/tmp/dropped'])",
            "subprocess.run(['/dev/shm/dropped'])",
            "ctypes.CDLL('/workspace/dropped')",
            "os.memfd_create('x')",
        ],
    );

    let told = run(&server, &code).await.ok();

    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..3], ["PermissionError 13"; 3], "{told}");
    assert_eq!(lines[3], "OSError None", "{told}");
    assert_eq!(lines[4], "PermissionError 1", "{told}");
}

#[tokio::test]
async fn a_full_disk_is_an_error_in_the_code_and_nobodys_trouble() {
    let server = TestServer::start("").await;
    let code = "n = 0\n\
        try:\n\
        \x20   with open('big', 'wb') as f:\n\
        \x20       while n < 2000:\n\
        \x20           f.write(bytes(1 << 20)); n += 1\n\
        except OSError as e: print(e.errno, n > 400)";
    // 28 is ENOSPC, 27 is EFBIG: whichever limit is met first.
    let told = run(&server, code).await.ok();
    assert!(told == "28 True\n" || told == "27 True\n", "{told}");
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

#[tokio::test]
async fn there_is_an_end_to_the_number_of_files() {
    let server = TestServer::start("").await;
    let code = "n = 0\n\
        try:\n\
        \x20   for n in range(20_000): open(f'/tmp/{n}', 'w').close()\n\
        except OSError as e: print(e.errno, 9_000 < n <= 10_000)";
    assert_eq!(run(&server, code).await.ok(), "28 True\n");
}

#[tokio::test]
async fn no_way_around_runs_what_was_written() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, glob, mmap, os, shutil, subprocess
        shutil.copy('/usr/bin/true', 't'); os.chmod('t', 0o755)
        open('s.sh', 'w').write('#!/bin/sh\necho ran'); os.chmod('s.sh', 0o755)
        def returns(*command):
            try: return subprocess.run(command, capture_output=True).returncode
            except OSError as e: return type(e).__name__
        loaders = glob.glob('/lib*/ld-linux*') + glob.glob('/lib/*/ld-linux*')
        print(len(loaders) > 0, {returns(loader, '/usr/bin/true') for loader in loaders}, {returns(loader, './t') for loader in loaders})
        print(returns('./s.sh'), returns('sh', 's.sh'))  # a shell that reads a script runs nothing new
        file = os.open('t', os.O_RDWR)
        for protection in (mmap.PROT_READ | mmap.PROT_EXEC, mmap.PROT_READ):
            try: mmap.mmap(file, 4096, prot=protection, flags=mmap.MAP_PRIVATE); print('mapped')
            except OSError as e: print(e.errno)
        ",
    );
    let told = run(&server, &code).await.ok();
    assert_eq!(told, "True {0} {127}\nPermissionError 0\n1\nmapped\n");
}

#[tokio::test]
async fn what_is_not_the_codes_own_cannot_be_linked_moved_or_replaced() {
    let server = TestServer::start("").await;
    let code = try_each(
        "import os",
        &[
            "os.link('/usr/bin/python3', 'out')",
            "os.link('/etc/passwd', '/tmp/out')",
            "os.rename('/workspace', '/tmp/w')",
            "os.rmdir('/tmp')",
            "os.rename('/etc/passwd', '/etc/p')",
            "os.chmod('/etc/passwd', 0o777)",
            "os.utime('/etc/passwd')",
            "os.truncate('/etc/passwd', 0)",
            "os.remove('/opt/belljar/runner.py')",
            "os.symlink('/tmp', '/usr/x')",
            "open('/dev/null.x', 'w')",
        ],
    );
    let told = run(&server, &code).await.ok();
    assert_eq!(told.lines().count(), 11);
    // 18 is EXDEV, 30 is EROFS, 16 is EBUSY, 1 is EPERM, 13 is EACCES.
    let refusals =
        ["OSError 18", "OSError 30", "OSError 16", "PermissionError 1", "PermissionError 13"];
    assert!(told.lines().all(|line| refusals.contains(&line)), "{told}");
}

#[tokio::test]
async fn links_count_as_files() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        n = 0
        try:
            while n < 20_000: os.symlink('x', f'/tmp/{n}'); n += 1
        except OSError as e: print(e.errno, 9_000 < n <= 10_000)
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "28 True\n");
    alive(&server).await;
}

#[tokio::test]
async fn the_three_scratch_folders_share_one_disk() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        n = 0
        try:
            for folder in ('/workspace', '/tmp', '/dev/shm'):
                with open(folder + '/big', 'wb') as f:
                    for _ in range(300): f.write(bytes(1 << 20)); n += 1
        except OSError as e: print(e.errno, 400 < n < 600)
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "28 True\n");
    alive(&server).await;
}
