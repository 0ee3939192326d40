//! State that is kept between two runs, and state that is not.

use serde_json::json;

use crate::{PLACES, python, run, run_all};
use harness::TestServer;

/// [K01] [K02]
#[tokio::test]
async fn variables_files_and_imports_persist_within_an_interaction() {
    let server = TestServer::start("").await;

    let runs = run_all(
        &server,
        &[
            "import math\nx = 41\nopen('note.txt', 'w').write('kept')\ndef f(): return x + 1",
            "print(f(), math.pi > 3, open('note.txt').read())",
            "1/0",
            "print(x)",
        ],
    )
    .await;

    let output: Vec<_> = runs.iter().map(|run| (run.is_error, run.result.as_str())).collect();
    assert_eq!(output[1], (false, "42 True kept\n"));
    assert!(output[2].0);
    assert_eq!(output[3], (false, "41\n"), "an exception loses nothing");
}

#[tokio::test]
async fn tracebacks_show_source_lines_of_the_right_run() {
    let server = TestServer::start("").await;

    let runs = run_all(&server, &["def f():\n    raise ValueError(1)", "x = 1\nf()"]).await;

    let output = &runs[1].result;
    assert!(output.contains("line 2, in <module>\n    f()"), "{output}");
    assert!(output.contains("line 2, in f\n    raise ValueError(1)"), "{output}");
}

/// [K02]
#[tokio::test]
async fn a_run_that_kills_its_interpreter_is_followed_by_a_fresh_one() {
    let server = TestServer::start("").await;

    let runs =
        run_all(&server, &["x = 1\nimport os; os._exit(7)", "print('x' in globals())"]).await;

    assert!(runs[0].is_error);
    assert_eq!(runs[1].result, "False\n");
}

/// [A24] [C22] [C27] [G11]
#[tokio::test]
async fn nothing_is_left_for_the_next_interaction() {
    let server = TestServer::start("").await;
    let poison = "import builtins, json, numpy\n\
                  builtins.print = None; json.dumps = None; numpy.array = None\n\
                  os.environ['LEFT'] = '1'\n\
                  for d in PLACES: open(f'{d}/left-{os.getpid()}', 'w').write('x')\n\
                  open(PLACES[0] + '/numpy.py', 'w').write('1/0')";
    let look = python(
        r"
        import json, numpy
        def found(d):
            try: return os.listdir(d)
            except PermissionError: return []  # the folder shared by all cells cannot be listed
        print(json.dumps(numpy.array([1]).tolist()), os.environ.get('LEFT'), [found(d) for d in PLACES])
        ",
    );
    // More often than there are standbys, so that each is checked.
    for _ in 0..6 {
        run(&server, &format!("{PLACES}{poison}")).await.ok();
        let output = run(&server, &format!("{PLACES}{look}")).await.ok();
        assert_eq!(output, "[1] None [[], [], []]\n");
    }
}

#[tokio::test]
async fn every_cell_has_its_own_random_numbers() {
    let server = TestServer::start("").await;
    let code = "import random, uuid, secrets, ctypes, numpy as np\n\
                print(random.random()); print(np.random.rand()); print(uuid.uuid4())\n\
                print(secrets.token_hex()); print(ctypes.CDLL(None).rand())";
    let mut seen = std::collections::HashSet::new();
    for _ in 0..5 {
        for (line, dice) in run(&server, code).await.ok().lines().enumerate() {
            assert!(seen.insert(dice.to_owned()), "line {line} came twice: {dice}");
        }
    }
}

/// [C01]
#[tokio::test]
async fn input_files_are_present_in_every_turn_of_a_chain() {
    let server = TestServer::start("").await;
    let look = "import os\nprint(sorted(os.listdir('.')), open('input_file_0.csv').read())";
    let first = server
        .create(json!({
            "model": "direct",
            "input": [
                {"type": "document", "mime_type": "text/csv", "data": "YSxiCjEsMgo="},
                {"type": "text", "text": format!("```python\nopen('made.txt', 'w')\n{look}\n```")},
            ],
            "tools": [{"type": "code_execution"}],
        }))
        .await;
    let second = server
        .create(json!({
            "model": "direct",
            "previous_interaction_id": first["id"],
            "input": [
                {"type": "image", "mime_type": "image/jpeg", "data": "/9j/"},
                {"type": "text", "text": look},
            ],
            "tools": [{"type": "code_execution"}],
        }))
        .await;

    assert_eq!(first["steps"][1]["result"], "['input_file_0.csv', 'made.txt'] a,b\n1,2\n\n");
    assert_eq!(
        second["steps"][1]["result"],
        "['input_file_0.csv', 'input_file_1.jpeg'] a,b\n1,2\n\n"
    );
}

#[tokio::test]
async fn input_files_can_be_changed_and_belong_to_the_code() {
    let server = TestServer::start("").await;
    let code = "```python\nimport os\nopen('input_file_0.txt', 'a').write('!')\n\
                print(open('input_file_0.txt').read(), os.stat('input_file_0.txt').st_uid == os.getuid())\n```";
    let reply = server
        .create(json!({
            "model": "direct",
            "input": [
                {"type": "document", "mime_type": "text/plain", "data": "aGk="},
                {"type": "text", "text": code},
            ],
            "tools": [{"type": "code_execution"}],
        }))
        .await;
    assert_eq!(reply["steps"][1]["result"], "hi! True\n");
}

/// [K03]
#[tokio::test]
async fn objects_that_cannot_be_pickled_persist_too() {
    let server = TestServer::start("").await;
    let runs = run_all(
        &server,
        &[
            "import threading, matplotlib.pyplot as plt\nopen('f', 'w').write('ab')\nf = open('f'); f.read(1)\n\
             g = (i for i in range(9)); next(g)\nh = lambda: 42\nevent = threading.Event()\n\
             t = threading.Thread(target=event.wait, daemon=True); t.start()",
            "print(f.read(), next(g), h(), t.is_alive()); event.set(); t.join()",
        ],
    )
    .await;
    assert_eq!(runs[1].result, "b 1 42 True\n");
}

/// [K02]
#[tokio::test]
async fn a_run_that_was_stopped_is_followed_by_a_fresh_one() {
    let server = TestServer::start("").await;
    let runs = run_all(
        &server,
        &[
            "x = 1\nopen('made', 'w')\nwhile True: pass",
            "import os; print('x' in globals(), os.listdir())",
        ],
    )
    .await;
    assert!(runs[0].result.contains("TimeoutError"));
    assert_eq!(runs[1].result, "False []\n");
}
