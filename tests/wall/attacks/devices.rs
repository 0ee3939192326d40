//! `/dev` in a cell: harmless devices, and the names of the process's own descriptors.

use crate::{execute, is_namespaced, python, run};
use harness::TestServer;

/// [I06]
#[tokio::test]
async fn standard_streams_have_their_names() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, subprocess, sys
        def sh(command, **more):
            done = subprocess.run(['bash', '-c', command], capture_output=True, text=True, **more)
            print([done.stdout, done.stderr])
        print('first')
        with open('/dev/stdout', 'w') as f: f.write('second\n')
        os.write(os.open('/dev/fd/1', os.O_WRONLY), b'third\n')
        print('fourth')
        sh('cat <(echo hi) <(echo there)')
        sh('echo err > /dev/stderr; echo out > /dev/stdout; echo more >> /dev/stdout')
        sh('cat /dev/stdin; cat < /dev/fd/0', input='in\n')
        sh('tee /dev/stderr >/dev/null', input='both\n')
        sh('echo x | grep -c x /dev/stdin; [ -e /dev/fd/2 ] && [ -w /dev/stdout ] && echo there')
        sh('exec 7>f; echo seven > /dev/fd/7; cat f; cat /dev/fd/99 2>/dev/null || echo none')
        sh('python3 -c ' + repr('import sys; open(\'/dev/stderr\', \'w\').write(sys.stdin.read())'), input='python\n')
        with open('g', 'w+') as f:
            f.write('kept'); f.flush()
            print(os.path.exists(f'/dev/fd/{f.fileno()}'), os.stat(f'/dev/fd/{f.fileno()}').st_size)
        print(repr(open('/dev/stdin').read()), os.path.exists('/dev/fd/77'))
        print(os.readlink('/dev/fd'), os.readlink('/dev/stdout'))
        try: open('/dev/fd/77')
        except OSError as e: print(type(e).__name__)
        ",
    );
    let expected = "first\nsecond\nthird\nfourth\n\
        ['hi\\nthere\\n', '']\n['out\\nmore\\n', 'err\\n']\n['in\\n', '']\n['', 'both\\n']\n\
        ['1\\nthere\\n', '']\n['seven\\nnone\\n', '']\n['', 'python\\n']\nTrue 4\n'' False\n\
        /proc/self/fd /proc/self/fd/1\nFileNotFoundError\n";
    assert_eq!(run(&server, &code).await.ok(), expected);
    let answer =
        execute(&server, "open('/dev/stderr', 'w').write('to stderr\\n'); print('out')").await;
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&"out\n".into(), &"to stderr\n".into()));
}

/// [I06]
#[tokio::test]
async fn harmless_devices_exist_and_no_terminal() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        open('/dev/null', 'w').write('x')
        print(open('/dev/null').read() == '', open('/dev/zero', 'rb').read(3), len(open('/dev/random', 'rb').read(3)), len(open('/dev/urandom', 'rb').read(3)))
        try:
            with open('/dev/full', 'w') as f: f.write('x')
        except OSError as e: print(e.errno)
        try: open('/dev/tty')
        except OSError as e: print('no terminal')
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "True b'\\x00\\x00\\x00' 3 3\n28\nno terminal\n");
    if is_namespaced(&server).await {
        let all = "import os; print(sorted(os.listdir('/dev')))";
        let expected = "['fd', 'full', 'null', 'random', 'shm', 'stderr', 'stdin', 'stdout', 'urandom', 'zero']\n";
        assert_eq!(run(&server, all).await.ok(), expected);
    }
}
