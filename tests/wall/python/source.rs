//! Source code: any text gets a result.

use crate::{alive, execute};
use harness::TestServer;

/// [A07] [A17] [A20] [K12]
#[tokio::test]
async fn any_source_text_runs_or_gets_an_error() {
    let server = TestServer::start("").await;
    let large = format!("x = '{}'\nprint(len(x))", "a".repeat(900_000));
    let lines = "x = 1\n".repeat(100_000) + "print(x)";
    let sum = format!("x = {}1", "1+".repeat(50_000));
    let nested = (0..101).fold(String::new(), |code, depth| code + &" ".repeat(depth) + "if 1:\n");
    let cases = [
        ("", "ok", ""),
        ("# only a comment", "ok", ""),
        (" \n\t\n", "ok", ""),
        ("\u{feff}print(1)", "ok", "1\n"),
        ("print(1)\r\nif 1:\r\n  print(2)\r\n", "ok", "1\n2\n"),
        ("print(1)\rprint(2)", "ok", "1\n2\n"),
        ("\u{c}print(1)", "ok", "1\n"),
        ("# -*- coding: latin-1 -*-\nprint('é')", "ok", "é\n"),
        ("ünï = 1\nprint(ünï)", "ok", "1\n"),
        ("from __future__ import annotations\nprint(1)", "ok", "1\n"),
        (&large, "ok", "900000\n"),
        (&lines, "ok", "1\n"),
        ("print(1)\0", "failed", "SyntaxError: source code string cannot contain null bytes\n"),
        (
            "if 1:\n\tprint(1)\n        print(2)",
            "failed",
            "TabError: inconsistent use of tabs and spaces in indentation\n",
        ),
        ("  print(1)", "failed", "IndentationError: unexpected indent\n"),
        ("int a = 1", "failed", "SyntaxError: invalid syntax\n"),
        ("await f()", "failed", "SyntaxError: 'await' outside function\n"),
        ("%timeit 1", "failed", "SyntaxError: invalid syntax\n"),
        ("!ls", "failed", "SyntaxError: invalid syntax\n"),
        ("print?", "failed", "SyntaxError: invalid syntax\n"),
        (&nested, "failed", "IndentationError: too many levels of indentation\n"),
        (&sum, "failed", "RecursionError: maximum recursion depth exceeded during compilation\n"),
    ];
    for (code, outcome, expected) in cases {
        let answer = execute(&server, code).await;
        let start: String = code.chars().take(40).collect();
        assert_eq!(answer["outcome"], outcome, "{start:?}: {answer}");
        let field = if outcome == "ok" { "stdout" } else { "stderr" };
        let output = answer[field].as_str().expect("it is text");
        assert!(output.ends_with(expected), "{start:?}: {output}");
        assert!(!output.contains("runner"), "{start:?}: {output}");
    }
}

/// [K12]
#[tokio::test]
async fn code_over_the_size_limit_gets_an_error_result() {
    let server = TestServer::start("").await;
    for bytes in [(1 << 20) + 1, 10 << 20] {
        let output = crate::run(&server, &"#".repeat(bytes)).await.failed();
        assert_eq!(output, "CodeError: not run, the code is longer than 1048576 bytes\n");
    }
    alive(&server).await;
}

/// [E08]
#[tokio::test]
async fn excessive_nesting_is_an_error_or_a_named_crash() {
    let server = TestServer::start("").await;
    let cases = [
        "import json; json.loads('[' * 10**6)",
        "import ast; ast.parse('(' * 10**6)",
        "compile('-' * 10**6 + '1', '', 'eval')",
        "import re; re.compile('(' * 10**5)",
        "import pickle; pickle.loads(b'(' * 10**6 + b'.')",
        "import copy\na = []\nfor _ in range(10**5): a = [a]\ncopy.deepcopy(a)",
        "import sys; sys.setrecursionlimit(10**6)\nclass A:\n  def __getattr__(self, n): return getattr(self, n + 'x')\nA().a",
    ];
    for code in cases {
        let answer = execute(&server, code).await;
        let output = answer["stderr"].as_str().expect("it is text");
        assert_eq!(answer["outcome"], "failed", "{code}: {output}");
        assert!(
            output.contains("Error") || output.contains("Crashed: segmentation fault"),
            "{code}: {output}"
        );
    }
    alive(&server).await;
}
