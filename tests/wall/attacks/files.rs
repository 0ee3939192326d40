//! Files: the machine's files cannot be read, and only the scratch space can be written.

use serde_json::json;

use crate::{PLACES, alive, execute, is_namespaced, python, run, try_each};
use harness::TestServer;

/// [I01] [I03] [I04] [I05]
#[tokio::test]
async fn no_file_of_the_machine_can_be_read() {
    let server = TestServer::start("").await;
    // Files of this test, which exist outside the cell.
    let secret = tempfile::NamedTempFile::new().expect("there is a place for temporary files");
    let outside = secret.path().to_str().expect("a temporary path is text");
    let program = harness::belljar();
    let program = program.to_str().expect("the tests are in a path of text");
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
    let code = python(&format!(
        r"
        import os
        def read(path):
            try: return os.close(os.open(path, os.O_RDONLY))
            except OSError as e: return e.errno
        # 2 is ENOENT, 13 is EACCES.
        print([p for p in {paths:?} if read(p) not in (2, 13)], [p for p in {paths:?} if os.path.lexists(p)])
        "
    ));

    assert!(secret.path().exists(), "the test has something to hide");
    let output = run(&server, &code).await.ok();
    assert!(output.starts_with("[] "), "{output}");
    if is_namespaced(&server).await {
        assert_eq!(output, "[] []\n", "nor is it there");
    }
}

/// [C19]
#[tokio::test]
async fn only_the_scratch_space_can_be_written() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import numpy
        refused, written = [], []
        folders = ['/', '/bin', '/dev', '/etc', '/lib', '/mnt', '/opt', '/opt/belljar', '/proc', '/run']
        folders += ['/usr', '/usr/bin', '/usr/local', '/var', *PLACES]
        folders += [os.path.dirname(os.__file__), os.path.dirname(numpy.__file__)]
        folders += [f for f in ('/workspace', '/tmp', os.path.dirname(PLACES[0])) if f not in [*PLACES, '/']]
        for folder in folders:
            try: open(f'{folder}/x{os.getpid()}', 'w').close(); written.append(folder)
            except OSError as e: refused.append(e.errno)
        print(written == PLACES, len(refused), sorted({*refused}))
        ",
    );
    let output = run(&server, &format!("{PLACES}{code}")).await.ok();
    match is_namespaced(&server).await {
        true => assert_eq!(output, "True 16 [30]\n"), // EROFS
        // Some of these do not exist: ENOENT; the others are refused: EACCES.
        false => assert_eq!(output, "True 19 [2, 13]\n"),
    }
}

/// [C20] [C21] [H14]
#[tokio::test]
async fn written_files_cannot_be_executed() {
    let server = TestServer::start("").await;
    let code = try_each(
        &format!(
            "{PLACES}import shutil, subprocess\n\
             dropped = [f'{{place}}/dropped-{{os.getpid()}}' for place in PLACES]\n\
             for path in dropped: shutil.copy('/usr/bin/true', path); os.chmod(path, 0o755)\n\
             open('s.sh', 'w').write('#!/bin/sh\\necho ran'); os.chmod('s.sh', 0o755)\n\
             assert subprocess.run(['/usr/bin/true']).returncode == 0"
        ),
        &[
            "subprocess.run([dropped[0]])",
            "subprocess.run([dropped[1]])",
            "subprocess.run([dropped[2]])",
            "subprocess.run(['./s.sh'])",
            "os.memfd_create('x')",
        ],
    );

    let output = run(&server, &code).await.ok();

    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines, [["PermissionError 13"; 4].as_slice(), &["PermissionError 1"]].concat());
}

/// [C23]
#[tokio::test]
async fn a_full_disk_is_an_error_in_its_own_code_only() {
    let server = TestServer::start("").await;
    let code = "n = 0\n\
        try:\n\
        \x20   with open('big', 'wb') as f:\n\
        \x20       while n < 2000:\n\
        \x20           f.write(bytes(1 << 20)); n += 1\n\
        except OSError as e: print(e.errno, n > 400)";
    // 28 is ENOSPC, 27 is EFBIG: whichever limit is reached first.
    let output = run(&server, code).await.ok();
    assert!(output == "28 True\n" || output == "27 True\n", "{output}");
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}

/// [C24]
#[tokio::test]
async fn the_number_of_files_is_limited() {
    let server = TestServer::start("").await;
    let code = "import time\nn = 0\n\
        try:\n\
        \x20   for n in range(20_000): open(f'{n}', 'w').close()\n\
        \x20   time.sleep(60)\n\
        except OSError as e: print(e.errno, 9_000 < n <= 10_000)";
    ends_at(&server, code, "disk_files", 10_000).await;
}

#[tokio::test]
async fn files_can_be_copied_moved_and_removed() {
    let server = TestServer::start("").await;
    let code = "import os, pathlib, shutil, subprocess, tarfile, tempfile, zipfile\n\
        os.makedirs('a/b'); pathlib.Path('a/b/c.txt').write_text('text')\n\
        shutil.copy2('a/b/c.txt', 'd.txt'); shutil.copytree('a', 'e'); shutil.move('e', 'f')\n\
        os.rename('d.txt', 'g.txt'); os.link('g.txt', 'h.txt'); os.symlink('g.txt', 'i.txt')\n\
        os.chmod('g.txt', 0o600); os.utime('g.txt', (1, 1)); os.truncate('h.txt', 2)\n\
        with tarfile.open('t.tar', 'w') as t: t.add('f')\n\
        with tarfile.open('t.tar') as t: t.extractall('j', filter='data')\n\
        with zipfile.ZipFile('z.zip', 'w') as z: z.write('g.txt')\n\
        with tempfile.TemporaryDirectory() as t: pathlib.Path(t, 'x').touch()\n\
        shutil.rmtree('a')\n\
        done = subprocess.run('cp -a f k; mv k l; ln l/b/c.txt m; rm -r l; ls; cat i.txt', shell=True, \
        capture_output=True, text=True)\n\
        print(done.stdout.split(), done.stderr, os.path.basename(os.path.realpath('i.txt')))";
    assert_eq!(
        run(&server, code).await.ok(),
        "['f', 'g.txt', 'h.txt', 'i.txt', 'j', 'm', 't.tar', 'z.zip', 'te']  g.txt\n"
    );
}

/// [C20] [C21]
#[tokio::test]
async fn written_files_cannot_be_executed_indirectly() {
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
        print(returns('./s.sh'), returns('sh', 's.sh'))  # the shell only reads the script
        file = os.open('t', os.O_RDWR)
        for protection in (mmap.PROT_READ | mmap.PROT_EXEC, mmap.PROT_READ):
            try: mmap.mmap(file, 4096, prot=protection, flags=mmap.MAP_PRIVATE); print('mapped')
            except OSError as e: print(e.errno)
        try: ctypes.CDLL('./t'); print('loaded')
        except OSError as e: print('failed to map' in str(e))
        ",
    );
    let output = run(&server, &code).await.ok();
    assert_eq!(output, "True {0} {127}\nPermissionError 0\n1\nmapped\nTrue\n");
}

/// [C08] [C19]
#[tokio::test]
async fn files_of_others_cannot_be_linked_moved_or_replaced() {
    let server = TestServer::start("").await;
    let code = try_each(
        &format!("{PLACES}import runner, sys"),
        &[
            "os.link(sys.executable, 'out')",
            "os.link('/etc/passwd', PLACES[1] + '/out')",
            "os.rename(PLACES[0], PLACES[1] + '/w')",
            "os.rmdir(PLACES[1])",
            "os.rename('/etc/passwd', '/etc/p')",
            "os.chmod('/etc/passwd', 0o777)",
            "os.utime('/etc/passwd')",
            "os.truncate('/etc/passwd', 0)",
            "os.remove(runner.__file__)",
            "os.symlink(PLACES[1], '/usr/x')",
            "open('/dev/null.x', 'w')",
        ],
    );
    let output = run(&server, &code).await.ok();
    assert_eq!(output.lines().count(), 11);
    // 18 is EXDEV, 30 is EROFS, 16 is EBUSY, 1 is EPERM, 13 is EACCES.
    let refusals =
        ["OSError 18", "OSError 30", "OSError 16", "PermissionError 1", "PermissionError 13"];
    assert!(output.lines().all(|line| refusals.contains(&line)), "{output}");
}

/// [C24]
#[tokio::test]
async fn links_count_as_files() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, time
        n = 0
        try:
            while n < 20_000: os.symlink('x', f'{n}'); n += 1
            time.sleep(60)
        except OSError as e: print(e.errno, 9_000 < n <= 10_000)
        ",
    );
    ends_at(&server, &code, "disk_files", 10_000).await;
    alive(&server).await;
}

#[tokio::test]
async fn the_three_scratch_folders_share_one_disk() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import time
        n = 0
        try:
            for folder in PLACES:
                with open(f'{folder}/big-{os.getpid()}', 'wb') as f:
                    for _ in range(300): f.write(bytes(1 << 20)); n += 1
            time.sleep(60)
        except OSError as e: print(e.errno, 400 < n < 600)
        ",
    );
    ends_at(&server, &format!("{PLACES}{code}"), "disk_bytes", 512 << 20).await;
    alive(&server).await;
}

/// If the cell has its own disk, the code gets ENOSPC (28). On a shared disk the warden measures usage and
/// stops the run.
async fn ends_at(server: &TestServer, code: &str, limit: &str, value: u64) {
    let answer = execute(server, code).await;
    if is_namespaced(server).await {
        assert_eq!(answer["stdout"], "28 True\n", "{answer:.500}");
    } else {
        let limit = json!({"name": limit, "value": value});
        assert_eq!((&answer["outcome"], &answer["limit"]), (&json!("failed"), &limit));
    }
}
