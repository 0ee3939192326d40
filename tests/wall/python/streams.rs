//! Standard streams: as under `python -u` into a pipe, and in which order they write.

use serde_json::json;

use crate::{execute, python, run_all};
use harness::TestServer;

#[tokio::test]
async fn standard_streams_have_the_usual_attributes() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import io, sys
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            assert type(stream) is io.TextIOWrapper and stream is getattr(sys, f'__{stream.name[1:-1]}__')
            print(stream.name, stream.fileno(), stream.mode, stream.encoding, stream.errors,
                stream.isatty(), stream.line_buffering, stream.write_through, stream.buffer.closed)
        print(sys.stdout.seekable(), sys.stderr.seekable(), sys.stdout.buffer.seekable())
        try: sys.stdout.tell()
        except OSError: print('no place')
        ",
    );
    let answer = execute(&server, &code).await;
    let output = "<stdin> 0 r utf-8 surrogateescape False False False False\n\
        <stdout> 1 w utf-8 surrogateescape False False True False\n\
        <stderr> 2 w utf-8 backslashreplace False False True False\n\
        False False False\nno place\n";
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!(output), &json!("")));
}

#[tokio::test]
async fn standard_output_can_be_replaced_in_every_usual_way() {
    let server = TestServer::start("").await;
    for code in [
        "sys.stdout.reconfigure(encoding='utf-8')",
        "sys.stdout.reconfigure(errors='replace', line_buffering=True, write_through=True)",
        "sys.stderr.reconfigure(encoding='latin-1'); sys.stdin.reconfigure(encoding='utf-8')",
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
        "sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8', line_buffering=True)",
        "sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)",
        "sys.stdout = open(sys.stdout.fileno(), 'w', encoding='utf-8', closefd=False)",
        "sys.stdout = open(1, 'w', buffering=1, encoding='utf-8')",
        "sys.stdout = sys.__stdout__",
    ] {
        let before = format!(
            "import codecs, io, sys\nprint('aï')\nsys.stdout.flush()\n{code}\nprint('→ 中')"
        );
        let runs = run_all(&server, &[&before, "import sys; print('next')"]).await;
        assert_eq!(runs[0].result, "aï\n→ 中\n", "{code}");
        assert_eq!(runs[1].result, "next\n", "{code}");
    }
}

/// The next run finds usable streams.
#[tokio::test]
async fn closed_detached_or_deleted_streams_are_restored_for_the_next_run() {
    let server = TestServer::start("").await;
    for code in [
        "print('x'); sys.stdout.close()",
        "print('x'); sys.stdout.detach()",
        "print('x', flush=True); sys.stdout = None",
        "print('x'); del sys.stdout",
        "print('x'); del sys.__stdout__, sys.__stderr__",
        "print('x'); del sys.stdout, sys.stderr, sys.stdin, sys.__stdout__",
        "import io; print('x', flush=True); io.TextIOWrapper(sys.stdout.buffer)",
    ] {
        let code = format!("import sys\n{code}");
        let runs = run_all(&server, &[&code, "print('next'); 1/0", "print('last')"]).await;
        assert_eq!(runs[0].result, "x\n", "{code}");
        assert!(runs[1].result.starts_with("next\nTraceback"), "{code}: {}", runs[1].result);
        assert_eq!(runs[2].result, "last\n", "{code}");
    }
}

/// The code shares the runner's interpreter. Damage to the runner is no error in the code's own lines.
#[tokio::test]
async fn code_that_breaks_the_runners_objects_sees_no_traceback_of_the_runner() {
    let server = TestServer::start("").await;
    for code in [
        "import sys; print('x'); del sys.stdout, sys.__stderr__",
        "import sys; print('x'); sys.modules.clear()",
        "import builtins; print('x'); builtins.len = builtins.bytes = builtins.open = None",
        "import os; print('x'); os.write = os.read = os.set_blocking = os._exit = None",
        "import gc; print('x'); gc.enable = gc.get_objects = gc.collect = None",
        "import linecache; print('x'); linecache.cache = None",
    ] {
        let answer = execute(&server, code).await;
        let output = (&answer["outcome"], &answer["stdout"], &answer["stderr"]);
        assert_eq!(output, (&json!("ok"), &json!("x\n"), &json!("")), "{code}");
    }
}

#[tokio::test]
async fn output_is_in_the_order_of_its_flushes() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import contextlib, ctypes, io, os, subprocess, sys
        print('python', flush=True)
        subprocess.run(['echo', 'program'])
        os.write(1, b'descriptor\n')
        with contextlib.redirect_stdout(io.StringIO()) as kept: print('kept')
        print('error', file=sys.stderr)
        sys.stdout.buffer.write(b'bytes\n')
        ctypes.CDLL(None).puts(b'c')
        sys.stdout.writelines([kept.getvalue(), 'last\n'])
        ",
    );
    let answer = execute(&server, &code).await;
    let stdout = "python\nprogram\ndescriptor\nbytes\nkept\nlast\nc\n";
    let output = answer["stdout"].as_str().expect("it is text");
    let (python, c): (Vec<&str>, Vec<&str>) = output.lines().partition(|line| *line != "c");
    let expected: Vec<&str> = stdout.lines().filter(|line| *line != "c").collect();
    assert_eq!((python, c, &answer["stderr"]), (expected, vec!["c"], &json!("error\n")));
}

#[tokio::test]
async fn an_encoding_error_loses_no_earlier_output() {
    let server = TestServer::start("").await;
    let answer = execute(&server, "print('before')\nprint('\\ud800')").await;
    assert_eq!(answer["stdout"], "before\n");
    let output = answer["stderr"].as_str().expect("it is text");
    assert!(output.contains("UnicodeEncodeError"), "{output}");
}

#[tokio::test]
async fn a_fork_that_reaches_the_end_of_the_code_flushes_its_output() {
    let server = TestServer::start("").await;
    let code = "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n\
        print('child' if pid == 0 else 'parent')";
    assert_eq!(execute(&server, code).await["stdout"], "child\nparent\n");
}
