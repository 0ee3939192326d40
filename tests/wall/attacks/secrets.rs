//! Secrets: the code can read its own input, and nothing of the machine or of other clients.

use crate::{is_namespaced, run};
use harness::TestServer;

/// [A25] [A26] [A28]
#[tokio::test]
async fn the_environment_is_the_documented_one() {
    let server = TestServer::start("").await;
    let code = "import os, socket, sys\n\
        known = {'HOME', 'LANG', 'LD_LIBRARY_PATH', 'MKL_NUM_THREADS', 'MPLBACKEND', 'NUMEXPR_NUM_THREADS',\n\
        \x20 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'PYTHONPATH',\n\
        \x20 'TF_CPP_MIN_LOG_LEVEL', 'TF_ENABLE_ONEDNN_OPTS', 'TMPDIR', 'TZ', 'USER', 'XDG_DATA_DIRS'}\n\
        libraries_own = {'KMP_DUPLICATE_LIB_OK', 'KMP_INIT_AT_FORK'}\n\
        print(set(os.environ) - known - libraries_own, known - set(os.environ))\n\
        print(os.path.basename(os.getcwd()), os.listdir('.'), sys.argv, '__file__' in globals())\n\
        print(os.getcwd(), socket.gethostname())";
    let output = run(&server, code).await.ok();
    assert!(output.starts_with("set() set()\nworkspace [] [''] False\n"), "{output}");
    if is_namespaced(&server).await {
        assert!(output.ends_with("False\n/workspace sandbox\n"), "{output}");
    }
}

/// [G09] [J06]
#[tokio::test]
async fn only_the_codes_own_descriptors_are_open() {
    let server = TestServer::start("").await;
    let code = "import os, stat\n\
        def kind(fd):\n\
        \x20   try: return stat.filemode(os.fstat(fd).st_mode)[0]\n\
        \x20   except OSError: return ''\n\
        print([kind(fd) for fd in range(5)], [fd for fd in range(5, 1024) if kind(fd)])";
    // Standard input is /dev/null; two pipes; the runner's two sockets.
    assert_eq!(run(&server, code).await.ok(), "['c', 'p', 'p', 's', 's'] []\n");
}

/// [G07]
#[tokio::test]
async fn a_forged_status_changes_only_the_result_of_its_own_run() {
    let server = TestServer::start("").await;
    let lie = "import os\nprint('lying', flush=True)\nos.write(3, b'\\0')\nwhile True: pass";
    assert_eq!(run(&server, lie).await.ok(), "lying\n");
    let noise = "import os, struct\n\
        os.write(4, b'\\xff\\xff\\xff\\xff')\n\
        print('noise')";
    let ran = run(&server, noise).await;
    assert_eq!(ran.pictures, []);
    assert_eq!(ran.ok(), "noise\n");
    assert_eq!(run(&server, "print(1)").await.ok(), "1\n");
}
