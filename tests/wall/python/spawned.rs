//! Processes that `multiprocessing` starts without a fork.

use serde_json::json;

use crate::{execute, python, run_all};
use harness::TestServer;

const DEFINE: &str = "import multiprocessing as mp\n\
    from concurrent.futures import ProcessPoolExecutor\n\
    def square(x): return x * x\n\
    class Point:\n  def __init__(self, x): self.x = x\n\
    def double(p): return Point(2 * p.x)\n";

#[tokio::test]
async fn each_way_to_start_processes_finds_the_functions_of_the_code() {
    let server = TestServer::start("").await;
    for method in ["fork", "spawn", "forkserver"] {
        let code = python(
            r"
            if __name__ == '__main__':
                context = mp.get_context('METHOD')
                with context.Pool(2) as pool: print(pool.map(square, range(4)), pool.map(double, [Point(2)])[0].x)
                with ProcessPoolExecutor(2, mp_context=context) as pool: print(list(pool.map(square, [5])))
                process = context.Process(target=square, args=(1,)); process.start(); process.join()
                print(process.exitcode)
            ",
        )
        .replace("METHOD", method);
        let answer = execute(&server, &format!("{DEFINE}{code}")).await;
        let output = json!("[0, 1, 4, 9] 4\n[25]\n0\n");
        assert_eq!((&answer["stdout"], &answer["stderr"]), (&output, &json!("")), "{method}");
    }
    let joblib = format!(
        "{DEFINE}from joblib import Parallel, delayed\n\
         print(Parallel(2)(delayed(square)(n) for n in range(3)))"
    );
    assert_eq!(execute(&server, &joblib).await["stdout"], "[0, 1, 4]\n");
}

/// Also functions of an earlier run, however it ended; and the temporary file is removed.
#[tokio::test]
async fn processes_find_what_earlier_runs_defined() {
    let server = TestServer::start("").await;
    let start = "if __name__ == '__main__':\n\
        \x20 with mp.get_context('spawn').Pool(1) as pool: print(pool.map(square, [3]))";
    let look = "import os, tempfile\n\
        print([n for n in os.listdir(tempfile.gettempdir()) if n.startswith('main-')])";
    let runs = run_all(&server, &[&format!("{DEFINE}1/0"), start, look]).await;
    assert_eq!((runs[1].result.as_str(), runs[2].result.as_str()), ("[9]\n", "[]\n"));
}

/// A script would start processes endlessly. Code without a guard is not run again: only its definitions are
/// available.
#[tokio::test]
async fn code_without_a_guard_does_not_start_itself_again() {
    let server = TestServer::start("").await;
    for method in ["spawn", "forkserver"] {
        let code = format!(
            "{DEFINE}print('once')\nFACTOR = 3\ndef times(x): return FACTOR * x\n\
             context = mp.get_context('{method}')\n\
             pool = context.Pool(2)\nprint(pool.map(square, [1, 2]), pool.map(times, [1]))\n\
             with ProcessPoolExecutor(1, mp_context=context) as more: print(list(more.map(times, [2])))"
        );
        let answer = execute(&server, &code).await;
        let output = json!("once\n[1, 4] [3]\n[6]\n");
        assert_eq!((&answer["stdout"], &answer["stderr"]), (&output, &json!("")), "{method}");
    }
}
