//! Libraries are in large pages, at the same addresses: code behaves as if they were mapped from their files.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::interval;

use crate::{alive, execute, python};
use harness::{Client, TestServer, Warden, warden_program};

/// Time limit for a zygote to move its libraries, beside other tests.
const MOVED_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Wardens that are started until one has moved all libraries.
const STARTS: usize = 4;

/// Prints whether the interpreter's own code is in memory that can be written to, as moved libraries are. The
/// kernel is asked to write a byte there, the one that it has, and returns an error if it cannot.
const IS_MOVED: &str = "
import ctypes, os
def is_moved():
    at = ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p).value
    reader, writer = os.pipe()
    os.write(writer, ctypes.string_at(at, 1))
    return ctypes.CDLL(None).read(reader, ctypes.c_void_p(at), 1) == 1
";

/// How the libraries of the first kit are in memory, once that is known.
async fn libraries(client: &Client) -> Value {
    let deadline = Instant::now() + MOVED_WITHIN;
    let mut looks = interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        let libraries = client.get("/x/isolation").await.body["libraries"][0].clone();
        if libraries["form"] != "pending" {
            return libraries;
        }
        assert!(Instant::now() < deadline, "they are not moved: {libraries}");
    }
}

/// A warden with one kit whose libraries are in large pages, with no standby from before, and a server.
async fn with_moved_libraries(settings: &[&str]) -> (Warden, TestServer) {
    let (mut warden, mut server, mut found) = start(settings).await;
    for _ in 1..STARTS {
        if found["form"] == "whole" {
            break;
        }
        // Other programs of this machine may have left no large page free.
        assert!(found["detail"].to_string().contains("no large pages are free"), "{found}");
        (warden, server, found) = start(settings).await;
    }
    assert_eq!((&found["kit"], &found["form"]), (&json!("science"), &json!("whole")), "{found}");
    let deadline = Instant::now() + MOVED_WITHIN;
    let mut looks = interval(LOOK_EVERY);
    let code = format!("{IS_MOVED}import pandas\nprint(is_moved())");
    while execute(&server, &code).await["stdout"] != "True\n" {
        assert!(Instant::now() < deadline, "standbys are not replaced");
        looks.tick().await;
    }
    (warden, server)
}

async fn start(settings: &[&str]) -> (Warden, TestServer, Value) {
    let warden = Warden::start(&[&SETTINGS[..], settings].concat());
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let found = libraries(&server).await;
    (warden, server, found)
}

const SETTINGS: [&str; 4] = ["--kits", "science", "--standbys", "1"];

#[tokio::test]
async fn libraries_in_large_pages_work() {
    let (_warden, server) = with_moved_libraries(&[]).await;
    for (what, code, wanted) in [
        (
            "C++ exceptions",
            "import cv2, numpy\ntry: cv2.resize(numpy.zeros((0, 0)), (9, 9))\nexcept cv2.error as e: print('caught')",
            "caught\n",
        ),
        (
            "libraries that are loaded later, and call those that were moved",
            "import pandas, lxml.etree, sqlite3, h5py, numpy as np\n\
             h5py.File('a.h5', 'w')['a'] = np.arange(3)\n\
             print(lxml.etree.fromstring('<a>1</a>').text, h5py.File('a.h5')['a'][2],\n\
             \x20   sqlite3.connect(':memory:').execute('select sqlite_version() > 3').fetchone())",
            "1 2 (1,)\n",
        ),
        (
            "threads",
            "import concurrent.futures, numpy as np\n\
             def solve(n): return np.linalg.solve(np.eye(99) * n, np.ones(99))[0] * n\n\
             with concurrent.futures.ThreadPoolExecutor(4) as pool: print(sum(pool.map(solve, range(1, 99))))",
            "98.0\n",
        ),
        (
            "programs",
            "import subprocess, sys\n\
             print(subprocess.run(['echo', 'hi'], capture_output=True).stdout)\n\
             print(subprocess.run([sys.executable, '-c', 'import numpy; print(numpy.ones(3).sum())'],\n\
             \x20   capture_output=True).stdout)",
            "b'hi\\n'\nb'3.0\\n'\n",
        ),
        (
            "processes",
            "import multiprocessing, numpy as np\n\
             with multiprocessing.Pool(3) as pool: print(*pool.map(np.sum, [[1, 2], [3], []]))",
            "3 3 0.0\n",
        ),
        (
            "callbacks from C",
            "import ctypes\nlibc = ctypes.CDLL(None)\n\
             order = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))\n\
             numbers = (ctypes.c_int * 4)(3, 1, 4, 1)\n\
             libc.qsort(numbers, 4, 4, order(lambda a, b: a[0] - b[0])); print(*numbers)",
            "1 1 3 4\n",
        ),
        (
            "deep recursion in C, which ends at the limit of the stack",
            "import json\ntry: json.loads('[' * 100_000)\nexcept RecursionError: print('too deep')",
            "too deep\n",
        ),
        (
            "the main uses",
            "import numpy as np, pandas as pd, scipy.stats, sympy, matplotlib.pyplot as plt, io\n\
             from sklearn.linear_model import LinearRegression\n\
             d = pd.DataFrame({'a': np.arange(9.)}); plt.plot(d.a); plt.savefig(io.BytesIO()); plt.close()\n\
             x = sympy.Symbol('x')\n\
             print(d.a.describe()['mean'], scipy.stats.norm.cdf(0), sympy.integrate(x, (x, 0, 2)),\n\
             \x20   round(LinearRegression().fit(d[['a']], 2 * d.a).coef_[0], 6))",
            "4.0 0.5 2 2.0\n",
        ),
    ] {
        let answer = execute(&server, code).await;
        assert_eq!(answer["stdout"], wanted, "{what}: {answer}");
        assert_eq!(answer["outcome"], "ok", "{what}: {answer}");
    }
    alive(&server).await;
}

/// TensorFlow has the largest libraries, with constructors, exceptions and threads of their own.
#[tokio::test]
async fn tensorflow_can_be_imported_after_libraries_were_moved() {
    let (_warden, server) = with_moved_libraries(&[]).await;
    let code = "import pandas, tensorflow as tf\nprint(float(tf.reduce_sum(tf.ones((50, 50)) @ tf.ones((50, 50)))))";
    let answer = execute(&server, code).await;
    assert_eq!(answer["stdout"], "125000.0\n", "{answer}");
}

#[tokio::test]
async fn crashes_in_moved_libraries_are_reported_as_signals() {
    let (_warden, server) = with_moved_libraries(&[]).await;
    for (code, signal) in [
        ("import pandas, ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import pandas, os; os.abort()", "SIGABRT"),
    ] {
        let answer = execute(&server, code).await;
        assert_eq!(answer["outcome"], "failed", "{code}: {answer}");
        assert!(answer.to_string().contains(signal), "{code}: {answer}");
    }
    // The handler runs in the process that crashes, and walks its stack.
    let code = "import pandas, ctypes, faulthandler, sys\n\
        faulthandler.enable(sys.__stderr__)\ndef inside(): ctypes.string_at(0)\ninside()";
    let answer = execute(&server, code).await;
    let words = answer["stderr"].as_str().unwrap_or_default();
    assert!(words.contains("Segmentation fault") && words.contains("in inside"), "{answer}");
    alive(&server).await;
}

/// All cells share the pages of the zygote's libraries until one writes to them. A cell that overwrites
/// instructions, constants or variables has its own copy.
#[tokio::test]
async fn a_cell_that_overwrites_libraries_changes_only_itself() {
    let (_warden, server) = with_moved_libraries(&[]).await;
    let overwrite = python(
        r"
        import pandas, ctypes
        version = ctypes.pythonapi.Py_GetVersion
        at = ctypes.cast(version, ctypes.c_void_p).value
        verbose = ctypes.c_int.in_dll(ctypes.pythonapi, 'Py_VerboseFlag')
        verbose.value = 77
        print(verbose.value, flush=True)
        ctypes.memset(at, 0xCC, 64)
        version()
        ",
    );
    let look = "import pandas, ctypes\n\
        ctypes.pythonapi.Py_GetVersion.restype = ctypes.c_char_p\n\
        print(ctypes.c_int.in_dll(ctypes.pythonapi, 'Py_VerboseFlag').value, \
        len(ctypes.pythonapi.Py_GetVersion()) > 5)";
    for _ in 0..3 {
        // At the same time, so that neighbours exist while the pages are overwritten.
        let (crashed, seen) = tokio::join!(execute(&server, &overwrite), execute(&server, look));
        assert_eq!((&crashed["outcome"], &crashed["stdout"]), (&json!("failed"), &json!("77\n")));
        assert_eq!(seen["stdout"], "0 True\n", "{seen}");
        assert_eq!(execute(&server, look).await["stdout"], "0 True\n");
    }
    alive(&server).await;
}

/// The moved libraries are private memory of each process, which the kernel counts. A cell has as much memory
/// as before.
#[tokio::test]
async fn moved_libraries_do_not_count_towards_the_memory_limit() {
    let (_warden, server) = with_moved_libraries(&["--memory-mib", "300"]).await;
    let allocate =
        |mib: u32| format!("import pandas\nx = b'x' * ({mib} << 20)\nprint(len(x) >> 20)");
    let fits = execute(&server, &allocate(200)).await;
    assert_eq!(fits["stdout"], "200\n", "{fits}");
    // Less than the libraries are large.
    let peak = fits["usage"]["peak_memory_bytes"].as_u64();
    assert!(peak.is_some_and(|peak| (200 << 20..260 << 20).contains(&peak)), "{fits}");
    let too_much = execute(&server, &allocate(310)).await;
    assert_eq!(too_much["limit"]["name"], "memory_bytes", "{too_much}");
    assert!(too_much["stderr"].to_string().contains("MemoryError"), "{too_much}");
    let in_forks = python(
        r"
        import pandas, os
        for _ in range(8):
            if os.fork() == 0: x = b'x' * (15 << 20); import time; time.sleep(1); os._exit(0)
        print([os.wait()[1] for _ in range(8)])
        ",
    );
    let answer = execute(&server, &in_forks).await;
    assert_eq!(answer["stdout"], format!("{:?}\n", [0; 8]), "{answer}");
    alive(&server).await;
}

/// A process with this setting of `prctl`, which executes the warden.
fn warden_after(option: u32, value: u32) -> Command {
    let script = format!(
        "import ctypes, os, sys\n\
         assert ctypes.CDLL(None).prctl({option}, {value}, 0, 0, 0) == 0\n\
         os.execv(sys.argv[1], sys.argv[1:])"
    );
    let mut command = Command::new("python3");
    command.arg("-c").arg(script).arg(warden_program());
    command
}

/// [K14]
#[tokio::test]
async fn without_large_pages_libraries_stay_mapped_from_files_and_the_reason_is_reported() {
    const PR_SET_THP_DISABLE: u32 = 41;
    let warden = Warden::start_by(warden_after(PR_SET_THP_DISABLE, 1), &SETTINGS);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let libraries = libraries(&server).await;
    assert_eq!(libraries["form"], "none", "{libraries}");
    assert!(libraries["detail"].to_string().contains("no large pages"), "{libraries}");
    let code = format!("{IS_MOVED}import pandas\nprint(is_moved(), pandas.Series([1, 2]).sum())");
    assert_eq!(execute(&server, &code).await["stdout"], "False 3\n");
    alive(&server).await;
}

/// [K14]
#[tokio::test]
async fn where_memory_may_not_be_writable_and_executable_libraries_stay() {
    const PR_SET_MDWE: u32 = 65;
    let warden = Warden::start_by(warden_after(PR_SET_MDWE, 1), &SETTINGS);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let libraries = libraries(&server).await;
    assert_eq!(libraries["form"], "none", "{libraries}");
    assert!(libraries["detail"].to_string().contains("writable and executable"), "{libraries}");
    let code = format!("{IS_MOVED}import pandas\nprint(is_moved(), pandas.Series([1, 2]).sum())");
    assert_eq!(execute(&server, &code).await["stdout"], "False 3\n");
    alive(&server).await;
}
