//! Output is returned up to the limit, regardless of its content and of the way it is written.

use serde_json::json;

use crate::{alive, execute, python, run};
use harness::TestServer;

/// Bytes kept of each of the two outputs, plus the line about omitted bytes.
const KEPT: usize = (1 << 20) + 100;

/// [G02]
#[tokio::test]
async fn every_way_to_write_is_captured_and_in_order() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os, sys
        libc = ctypes.CDLL(None)
        os.write(1, b'a\n')
        sys.stdout.buffer.write(b'b\n'); sys.stdout.flush()
        libc.write(1, b'c\n', 2)
        print('d')
        sys.__stdout__.write('e\n')
        open('/dev/null', 'w').write('nothing')
        os.system('echo f')
        libc.puts(b'g')  # C keeps it until the end
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "a\nb\nc\nd\ne\nf\ng\n");
}

/// [G01] [G02]
#[tokio::test]
async fn one_huge_write_is_stopped_like_endless_output() {
    let server = TestServer::start("").await;
    for flood in
        ["print('x' * (1 << 27))", "import os\nd = bytes(50 << 20)\nwhile True: os.write(1, d)"]
    {
        let answer = execute(&server, &format!("print('first')\n{flood}")).await;
        assert_eq!(answer["limit"], json!({"name": "output_bytes", "value": 10 << 20}));
        let stdout = answer["stdout"].as_str().expect("it is text");
        assert!(stdout.starts_with("first\n") && stdout.len() < KEPT, "{} bytes", stdout.len());
        alive(&server).await;
    }
}

/// [G03]
#[tokio::test]
async fn excess_standard_error_is_truncated_and_the_run_continues() {
    let server = TestServer::start("").await;
    let code =
        "import sys\nfor i in range(300_000): sys.stderr.write('e' * 100 + '\\n')\nprint('end')";
    let answer = execute(&server, code).await;
    assert_eq!((&answer["outcome"], &answer["stdout"]), (&json!("ok"), &json!("end\n")));
    let stderr = answer["stderr"].as_str().expect("it is text");
    assert!(stderr.contains("bytes left out …]") && stderr.len() < KEPT, "{} bytes", stderr.len());
    alive(&server).await;
}

#[tokio::test]
async fn a_long_exception_message_is_reported() {
    let server = TestServer::start("").await;
    let output = run(&server, "print('before')\nraise ValueError('x' * (5 << 20))").await.failed();
    assert!(output.starts_with("before\nTraceback (most recent call last):\n"));
    assert!(output.len() < KEPT + 100 && output.ends_with("xxx\n"), "{} bytes", output.len());
}

/// [G04]
#[tokio::test]
async fn any_output_bytes_give_a_valid_response() {
    let server = TestServer::start("").await;
    let cases = [
        (r"print('a\0b\x1b[31m\rc\u202e')", "a\0b\u{1b}[31m\rc\u{202e}\n"),
        (r"import os; os.write(1, b'\xc3')", "\u{fffd}"),
        (r"import os; os.write(1, b'\xed\xa0\x80')", "\u{fffd}\u{fffd}\u{fffd}"),
        (r"import os; os.write(1, 'x'.encode('utf-16-le'))", "x\0"),
    ];
    for (code, expected) in cases {
        assert_eq!(run(&server, code).await.ok(), expected, "{code}");
    }
    let marks = run(&server, r"print('e' + '\u0301' * 1_000_000)").await.ok();
    assert!(marks.starts_with("e\u{301}\u{301}") && marks.contains("bytes left out"));
    let half = run(&server, r"print('\ud800')").await;
    assert!(!half.is_error || half.result.contains("UnicodeEncodeError"), "{half:?}");
}

/// [G20]
#[tokio::test]
async fn lines_keep_their_order_within_each_output() {
    let server = TestServer::start("").await;
    let code = "import sys\nfor i in range(10_000): print(i); print(i, file=sys.stderr)";
    let answer = execute(&server, code).await;
    let lines: String = (0..10_000).map(|i| format!("{i}\n")).collect();
    assert!(answer["stdout"] == lines.as_str() && answer["stderr"] == lines.as_str());
}

/// [A10]
#[tokio::test]
async fn output_is_kept_however_the_run_ends() {
    let server = TestServer::start("").await;
    for end in ["1/0", "import os; os.abort()", "import os; os._exit(9)", "while True: pass"] {
        let answer =
            execute(&server, &format!("print('before')\nprint('half a line', end='')\n{end}"))
                .await;
        assert_eq!(answer["stdout"], "before\nhalf a line", "{end}");
        assert_ne!(answer["stderr"], "", "{end}: every failure has an output");
    }
}

#[tokio::test]
async fn a_forged_failure_has_an_error_message() {
    let server = TestServer::start("").await;
    let output = run(&server, "import os\nos.write(3, b'\\1')\nwhile True: pass").await.failed();
    assert_eq!(output, "Process failed with no output\n");
}

/// [G19] C's own output stays in no buffer that could be lost with its process.
#[tokio::test]
async fn output_of_c_is_kept_however_its_process_ends() {
    let server = TestServer::start("").await;
    let writes = "import ctypes, os, signal\nlibc = ctypes.CDLL(None)\n\
        libc.puts(b'by C'); libc.printf(b'half a line')\nprint('.')\n";
    for end in
        ["", "1/0", "os.kill(os.getpid(), signal.SIGKILL)", "os._exit(0)", "while True: pass"]
    {
        let answer = execute(&server, &format!("{writes}{end}")).await;
        assert_eq!(answer["stdout"], "by C\nhalf a line.\n", "{end}: {answer}");
    }
}
