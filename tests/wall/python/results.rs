//! The results of runs.

use crate::{run, run_all};
use harness::TestServer;

/// [A01] [A02] [A03] [A11] [A13] [A16]
#[tokio::test]
async fn the_result_is_what_was_printed() {
    let server = TestServer::start("").await;
    let cases = [
        ("print('hé\\n日本')", "hé\n日本\n"),
        ("x = 1", ""),
        ("x = 1\nx", ""),
        ("import sys; sys.stderr.write('not for the model')", ""),
        ("import os; os.write(1, b'raw\\n'); print('cooked')", "raw\ncooked\n"),
        ("import os; os.write(1, b'\\xff')", "\u{fffd}"),
        ("import ctypes; ctypes.CDLL(None).puts(b'from C')", "from C\n"),
        ("if __name__ == '__main__': print(__name__)", "__main__\n"),
        ("import sys; print('before'); sys.exit()", "before\n"),
        ("import os; print('before', flush=True); os._exit(0)", "before\n"),
        (
            "import subprocess; print(subprocess.run(['echo', 'hi'], capture_output=True).stdout)",
            "b'hi\\n'\n",
        ),
        ("import asyncio\nasync def f(): return 42\nprint(asyncio.run(f()))", "42\n"),
    ];
    for (code, expected) in cases {
        assert_eq!(run(&server, code).await.ok(), expected, "{code}");
    }
}

/// [A03] [A04] [A21] [A23]
#[tokio::test]
async fn a_last_expression_is_not_shown_whatever_it_is() {
    let server = TestServer::start("").await;
    let draws = "class P:\n\
        \x20 def _repr_png_(self): print('asked'); return b'x' * 10**8\n\
        \x20 _repr_html_ = __repr__ = _repr_png_\nP()";
    for code in ["None", "5;", "'x' * 10**7", "[[0] * 1000] * 10**6", draws] {
        let ran = run(&server, code).await;
        assert_eq!((ran.pictures.len(), ran.ok().as_str()), (0, ""), "{code}");
    }
}

/// [A08] [A10]
#[tokio::test]
async fn a_traceback_shows_only_the_codes_own_lines() {
    let server = TestServer::start("").await;

    let output = run(&server, "print('before')\ndef f(x):\n    return 1 / x\nf(0)").await.failed();

    // Which part of a line is marked below it differs between Python versions.
    let marks =
        |line: &&str| !line.trim().is_empty() && line.trim().chars().all(|c| "~^".contains(c));
    let lines: String =
        output.lines().filter(|line| !marks(line)).flat_map(|l| [l, "\n"]).collect();
    assert!(output.lines().any(|line| marks(&line)), "nothing is marked:\n{output}");
    assert_eq!(
        lines,
        "before\n\
         Traceback (most recent call last):\n\
         \x20 File \"<string>\", line 4, in <module>\n\
         \x20   f(0)\n\
         \x20 File \"<string>\", line 3, in f\n\
         \x20   return 1 / x\n\
         ZeroDivisionError: division by zero\n"
    );
}

/// [A07] [A13] [F08]
#[tokio::test]
async fn each_kind_of_failure_has_its_message() {
    let server = TestServer::start("").await;
    let cases = [
        ("int a = 1", "SyntaxError: invalid syntax\n"),
        ("import holidays", "ModuleNotFoundError: No module named 'holidays'\n"),
        ("import sys; sys.exit(3)", "Exited with code 3\n"),
        ("import sys; sys.exit('no data')", "no data\n"),
        ("import os; os._exit(4)", "Exited with code 4\n"),
        ("import ctypes; ctypes.string_at(0)", "Crashed: segmentation fault (SIGSEGV)\n"),
        ("import os; os.abort()", "Crashed: aborted (SIGABRT)\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "Crashed: killed (SIGKILL)\n"),
        ("class E(Exception):\n  def __str__(self): 1/0\nraise E", "<exception str() failed>\n"),
        ("import sys; sys.excepthook = None; raise KeyError('k')", "KeyError: 'k'\n"),
        ("import sys; sys.stderr = None; raise KeyError('k')", "KeyError: 'k'\n"),
        ("input()", "EOFError: EOF when reading a line\n"),
    ];
    for (code, expected) in cases {
        let output = run(&server, code).await.failed();
        assert!(output.ends_with(expected), "{code}:\n{output}");
        assert!(!output.contains("runner"), "our own frames are shown:\n{output}");
    }
}

/// [A09]
#[tokio::test]
async fn a_chain_of_exceptions_is_reported_completely() {
    let server = TestServer::start("").await;
    let code = "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('b') from e";

    let output = run(&server, code).await.failed();

    let parts = ["KeyError: 'a'", "was the direct cause of", "ValueError: b"];
    let places =
        parts.map(|part| output.find(part).unwrap_or_else(|| panic!("no {part}:\n{output}")));
    assert!(places.is_sorted(), "{output}");
}

/// [G01]
#[tokio::test]
async fn long_output_keeps_its_head_and_tail() {
    let server = TestServer::start("").await;
    // In few pieces, because this test is not about the machine's speed.
    let code = "print('first')\n\
        for i in range(0, 400_000, 1000): print(*range(i, i + 1000), sep='\\n', flush=True)\n\
        print('last')";

    let output = run(&server, code).await.ok();

    assert!(output.starts_with("first\n0\n1\n") && output.ends_with("399999\nlast\n"));
    assert!(output.contains(" bytes left out …]"), "no note about omitted bytes");
    assert!(output.len() < (1 << 20) + 100, "{} bytes were kept", output.len());
}

/// [G01]
#[tokio::test]
async fn endless_output_is_stopped() {
    let server = TestServer::start("").await;

    let output = run(&server, "while True: print('abcdefghij' * 1000)").await.failed();

    assert!(
        output.ends_with("OutputError: stopped, wrote more than 10 MiB\n"),
        "{}",
        &output[output.len() - 200..]
    );
}

/// [A12] [A13] [A15] [A18] [A27] [A28] [G16]
#[tokio::test]
async fn common_idioms_of_scripts_work() {
    let server = TestServer::start("").await;
    let cases = [
        ("import warnings; warnings.warn('old'); print('x')", "x\n"),
        ("import sys; print('x'); sys.exit(0)", "x\n"),
        (
            "import asyncio\nasync def f(): return 1\nprint(asyncio.run(f()), asyncio.run(f()))",
            "1 1\n",
        ),
        (
            "import locale, sys; print(locale.getpreferredencoding().lower(), sys.stdout.encoding)",
            "utf-8 utf-8\n",
        ),
        ("open('é日', 'w').write('ü'); print(open('é日', 'rb').read())", "b'\\xc3\\xbc'\n"),
        ("import time; print(time.tzname[0], time.strftime('%Z'))", "UTC UTC\n"),
        ("import sys; print(repr(sys.stdin.read()))", "''\n"),
        (
            "import threading, time\ndef f():\n  while True: time.sleep(1)\nthreading.Thread(target=f, daemon=True).start(); print('x')",
            "x\n",
        ),
        (
            "import threading\nthreading.Thread(target=lambda: [print(i) for i in range(3)]).start()",
            "0\n1\n2\n",
        ),
        (
            "import threading, sys\nthreading.Thread(target=sys.exit, args=(3,)).start(); print('x')",
            "x\n",
        ),
        ("class A:\n  def __del__(self): print('gone')\na = A()\ndel a", "gone\n"),
        ("import itertools\nx = itertools.count()\nx", ""),
        (
            "def f(): yield 1\nprint(list(f()), __name__, __builtins__ is not None)",
            "[1] __main__ True\n",
        ),
        ("import pickle\nclass P: x = 1\nprint(pickle.loads(pickle.dumps(P())).x)", "1\n"),
        ("import inspect\ndef f(): return 1\nprint(inspect.getsource(f))", "def f(): return 1\n\n"),
        (
            "import dataclasses, typing\n@dataclasses.dataclass\nclass D: x: int\nprint(D(1), typing.get_type_hints(D))",
            "D(x=1) {'x': <class 'int'>}\n",
        ),
    ];
    for (code, expected) in cases {
        assert_eq!(run(&server, code).await.ok(), expected, "{code}");
    }
}

/// [A15] The end of a run is not the end of the interpreter, which the next run finds unchanged.
#[tokio::test]
async fn exit_handlers_do_not_run_between_two_runs() {
    let server = TestServer::start("").await;
    let leave = "import atexit, threading, weakref\n\
        class A:\n  def __del__(self): print('gone')\n\
        a = A(); b = weakref.finalize(a, print, 'finalized')\n\
        atexit.register(print, 'late')\n\
        @atexit.register\n\
        def forever():\n  while True: pass\n\
        print('registered')";
    let runs = run_all(&server, &[leave, "print(a is not None, b.alive)"]).await;
    let output: Vec<_> = runs.iter().map(|run| (run.is_error, run.result.as_str())).collect();
    assert_eq!(output, [(false, "registered\n"), (false, "True True\n")]);
}

/// [A09]
#[tokio::test]
async fn an_exception_group_is_reported_completely() {
    let server = TestServer::start("").await;
    let output = run(&server, "raise ExceptionGroup('many', [ValueError('v'), KeyError('k')])")
        .await
        .failed();
    for part in ["ExceptionGroup: many (2 sub-exceptions)", "ValueError: v", "KeyError: 'k'"] {
        assert!(output.contains(part), "no {part}:\n{output}");
    }
}

/// [A30]
#[tokio::test]
async fn linear_algebra_gives_the_same_result_in_every_cell() {
    let server = TestServer::start("").await;
    let code = "import numpy as np\na = np.random.RandomState(0).rand(300, 300)\nprint(repr(np.linalg.solve(a, a @ a).sum()))";
    let first = run(&server, code).await.ok();
    for _ in 0..50 {
        assert_eq!(run(&server, code).await.ok(), first);
    }
    let large = "import numpy as np\na = np.ones((2000, 2000)); print((a @ a).sum())";
    assert_eq!(run(&server, large).await.ok(), "8000000000.0\n");
}
