//! Sabotage of the runner by code that shares its interpreter: it affects only the code's own interaction.

use serde_json::json;

use crate::{PLACES, alive, execute, python, run, run_all};
use harness::TestServer;

/// [G13] [G14]
#[tokio::test]
async fn sabotage_of_the_interpreter_does_not_hide_an_exception() {
    let server = TestServer::start("").await;
    let cases = [
        "import sys; sys.excepthook = sys.unraisablehook = lambda *a: 1/0",
        "import sys; sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)",
        "import sys; sys.meta_path.clear(); sys.path.clear(); sys.modules.clear()",
        "import traceback, linecache; traceback.TracebackException = None; linecache.cache = None",
        "import builtins; builtins.print = builtins.open = builtins.exec = builtins.compile = None",
        "import os; os.write = os.read = os._exit = None",
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import sys; sys.stdout = sys.stderr = None",
        "import threading; threading.enumerate = threading.main_thread = None",
        "import gc; gc.disable(); gc.freeze()",
    ];
    for tampering in cases {
        let output = run(&server, &format!("{tampering}\nraise ValueError('x')")).await.failed();
        assert!(output.contains("ValueError"), "{tampering}:\n{output}");
        assert!(!output.contains("runner.py"), "our own frames are shown: {tampering}:\n{output}");
    }
    alive(&server).await;
}

/// [G13]
#[tokio::test]
async fn a_sabotaged_runner_is_a_failure_and_not_a_hang() {
    let server = TestServer::start("").await;
    let cases = [
        "import runner; runner.finish = lambda: 1/0",
        "import runner; runner._write = None",
        "import sys; sys.addaudithook(lambda *a: 1/0)",
        "import os; os.closerange(0, 1000); 1/0",
    ];
    for tampering in cases {
        let output = run(&server, tampering).await.failed();
        assert!(output.contains("Exited with code 1"), "{tampering}:\n{output}");
    }
    alive(&server).await;
}

/// [A13] [G14]
#[tokio::test]
async fn exceptions_that_cannot_be_printed_are_still_reported() {
    let server = TestServer::start("").await;
    let cases = [
        (
            "class E(BaseException):\n  def __str__(self): raise self\n  __repr__ = __str__\nraise E",
            "E: <exception str() failed>\n",
        ),
        (
            "class E(Exception):\n  @property\n  def __cause__(self): 1/0\nraise E('e')",
            "E (its traceback could not be made)\n",
        ),
        (
            "import sys\nclass C:\n  def __eq__(self, o): 1/0\n  def __str__(self): 1/0\nsys.exit(C())",
            "Exited with code 1\n",
        ),
        ("import sys; sys.exit(True)", "Exited with code 1\n"),
        ("import sys; sys.exit('')", "Exited with code 1\n"),
        ("raise SystemExit(7)", "Exited with code 7\n"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt\n"),
        ("raise GeneratorExit", "GeneratorExit\n"),
        ("raise (lambda: (yield))()", "TypeError: exceptions must derive from BaseException\n"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded\n"),
    ];
    for (code, end) in cases {
        let output = run(&server, code).await.failed();
        assert!(output.ends_with(end) && !output.contains("runner.py"), "{code}:\n{output}");
    }
}

/// [G11] [G12]
#[tokio::test]
async fn a_sabotaged_interpreter_serves_only_its_own_interaction() {
    let server = TestServer::start("").await;
    let poison = python(
        r"
        import builtins, sys
        builtins.max = lambda x: 42
        home = os.environ['HOME']
        for name in ('sitecustomize.py', 'usercustomize.py', 'json.py', 'x.pth'):
            for place in PLACES[:2]:
                open(f'{place}/{name}', 'w').write('1/0')
        os.makedirs(home + '/.local/lib/python3/site-packages', exist_ok=True)
        os.makedirs(home + '/.config/matplotlib', exist_ok=True)
        open(home + '/.config/matplotlib/matplotlibrc', 'w').write('backend: nonsense')
        os.environ['PYTHONSTARTUP'] = home + '/sitecustomize.py'
        ",
    );
    let own = run_all(&server, &[&format!("{PLACES}{poison}"), "print(max('ab'))"]).await;
    assert_eq!(own[1].result, "42\n", "it is poisoned");
    // More often than there are standbys.
    for _ in 0..5 {
        let look = "import json, matplotlib\nprint(max('ab'), *map(os.listdir, PLACES[:2]))";
        assert_eq!(run(&server, &format!("{PLACES}{look}")).await.ok(), "b [] []\n");
    }
}

/// [K11]
#[tokio::test]
async fn new_interpreters_are_unaffected_by_earlier_runs() {
    let server = TestServer::start("").await;
    let look = python(
        r"
        import builtins, hashlib, os, sys
        seen = repr((sorted(sys.modules), sorted(vars(builtins)), sorted(os.environ.items()), sys.path, sys.argv))
        # On a shared root each cell's own folders have different names.
        for own in (os.getcwd(), os.environ['HOME']): seen = seen.replace(own, 'own')
        print(hashlib.sha256(seen.encode()).hexdigest())
        ",
    );
    let before = run(&server, &look).await.ok();
    let hostile = [
        "import sys, this, os; sys.path.append('x'); os.environ['A'] = 'b'",
        "import builtins, sys; builtins.x = 1; sys.modules['x'] = builtins; sys.modules.pop('json')",
        "import gc, runner; gc.unfreeze(); runner.run = runner.receive = None",
        "import os; os.fork(); os.abort()",
        "import ctypes; ctypes.memset(id(None), 0, 16)",
        "import os, signal; os.kill(0, signal.SIGKILL)",
    ];
    for attack in hostile.iter().cycle().take(120) {
        run(&server, attack).await;
    }
    // More often than there are standbys.
    for _ in 0..6 {
        assert_eq!(run(&server, &look).await.ok(), before);
    }
}

/// [G10]
#[tokio::test]
async fn no_data_of_the_server_or_of_others_is_in_the_interpreter() {
    let server = TestServer::start("").await;
    // Assembled at run time, so that the code's own text does not contain it.
    run(&server, "secret = 'of the-' + 'other one'").await.ok();
    let code = python(
        r"
        import gc, os, sys
        gc.unfreeze()
        needle = 'of the-' + 'other one'
        frames, frame = [], sys._getframe()
        while frame: frames += list(frame.f_locals.items()); frame = frame.f_back
        texts = [v for o in gc.get_objects() if isinstance(o, dict) for v in list(o.values()) if isinstance(v, str)]
        texts += [v for _, v in frames if isinstance(v, str)]
        found = [t for t in texts if t == needle and t is not needle]
        print(len(texts) > 1000, found, [k for k in os.environ if 'BELLJAR' in k or 'KEY' in k])
        ",
    );
    assert_eq!(run(&server, &code).await.ok(), "True [] []\n");
}

/// [G07]
#[tokio::test]
async fn a_modified_channel_affects_only_the_run_that_modified_it() {
    let server = TestServer::start("").await;
    let runs = run_all(
        &server,
        &["import os; os.set_blocking(3, False); os.set_blocking(4, False); x = 1", "print(x)"],
    )
    .await;
    assert_eq!(runs[1].result, "1\n");
    let answer =
        execute(&server, "import os; os.dup2(os.open('/dev/null', os.O_RDWR), 3); print('x')")
            .await;
    assert_eq!((&answer["outcome"], &answer["stdout"]), (&json!("ok"), &json!("x\n")));
    alive(&server).await;
}

/// [G09]
#[tokio::test]
async fn exhausting_descriptors_does_not_affect_other_interactions() {
    let server = TestServer::start("").await;
    let storm = python(
        r"
        import os, socket
        files = []
        try:
            while len(files) < 5000: files += socket.socketpair()
        except OSError as e: print(len(files) > 240, e.errno)
        ",
    );
    assert_eq!(run(&server, &storm).await.ok(), "True 24\n");
    let failing = format!("{storm}1/0");
    assert!(
        run(&server, &failing).await.failed().ends_with("ZeroDivisionError: division by zero\n")
    );
    let all = "import os; print(len([os.open('/dev/null', 0) for _ in range(240)]))";
    assert_eq!(run(&server, all).await.ok(), "240\n");
    alive(&server).await;
}
