//! Files that all cells see: those of Python and its libraries. No cell can change them, observe through
//! them who reads what, or delay a reader.

use crate::{PLACES, alive, python, run, try_each};
use harness::TestServer;

/// [J10]
#[tokio::test]
async fn readers_of_the_libraries_cannot_be_observed_or_delayed() {
    let server = TestServer::start("").await;
    let code = try_each(
        "import ctypes, fcntl, json, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
         def call(*a):\n\
         \x20   if libc.syscall(*a) < 0: raise OSError(ctypes.get_errno(), '')\n\
         file = os.open(json.__file__, os.O_RDONLY)\n\
         folder = os.open(os.path.dirname(json.__file__), os.O_RDONLY)\n\
         own = os.open('own', os.O_RDWR | os.O_CREAT)",
        &[
            "fcntl.fcntl(folder, fcntl.F_NOTIFY, fcntl.DN_ACCESS | fcntl.DN_MULTISHOT)",
            "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)",
            "fcntl.fcntl(own, fcntl.F_SETLEASE, fcntl.F_WRLCK)",
            "call(253)  # inotify_init",
            "call(294, 0)  # inotify_init1",
            "call(300, 0, 0)  # fanotify_init",
            "call(27, 0, 4096, 0)  # mincore",
            "call(327, file, 0, 0, 0, 0, 8)  # preadv2, from memory alone",
            "fcntl.fcntl(file, fcntl.F_GETFL)",
            "fcntl.fcntl(own, fcntl.F_SETFD, 0)",
        ],
    );
    let output = run(&server, &code).await.ok();
    // 1 is EPERM, 38 is ENOSYS.
    let expected = "PermissionError 1\n".repeat(3)
        + "OSError 38\nOSError 38\nPermissionError 1\nOSError 38\nOSError 38\nok\nok\n";
    assert_eq!(output, expected);
}

/// [J10] Others can see that there is a lock, as docs/src/concepts/isolation.md states, and nothing more.
#[tokio::test]
async fn a_lock_on_a_shared_file_delays_no_reader_and_ends_with_its_run() {
    let server = TestServer::start("").await;
    let holder = python(
        r"
        import fcntl, json, os, time
        file = os.open(json.__file__, os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_EX)
        print('locked', flush=True)
        if os.fork() == 0: time.sleep(1000)
        time.sleep(1)
        ",
    );
    let reader = "import importlib, json\nprint(importlib.reload(json).loads('1'))";
    let readers = async {
        for _ in 0..20 {
            assert_eq!(run(&server, reader).await.ok(), "1\n");
        }
    };
    let (held, ()) = tokio::join!(run(&server, &holder), readers);
    assert_eq!(held.ok(), "locked\n");
    // Processes that the run has left are being ended.
    let next = "import fcntl, json, os, time\n\
        file, end = os.open(json.__file__, os.O_RDONLY), time.monotonic() + 2\n\
        while True:\n\
        \x20   try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB); break\n\
        \x20   except BlockingIOError: assert time.monotonic() < end\n\
        print('free')";
    assert_eq!(run(&server, next).await.ok(), "free\n");
    alive(&server).await;
}

/// [C27] [I10]
#[tokio::test]
async fn concurrent_cells_do_not_see_each_others_files() {
    let looker = python(
        r"
        import time
        tops = [PLACES[0] + '/../..', PLACES[2]]
        try: tops += [f'/{top}' for top in os.listdir('/') if not top.startswith(('usr', 'lib', 'bin', 'sbin'))]
        except PermissionError: pass
        for _ in range(8):
            time.sleep(0.1)
            found = [p for top in tops for p, folders, files in os.walk(top) if 'of the writer' in files]
            try: found.append(open(PLACES[2] + '/of the writer'))
            except (FileNotFoundError, PermissionError): pass
            if found: print(found)
        print('nothing')
        ",
    );
    beside_a_writer(&format!("{PLACES}{looker}")).await;
}

/// [I10]
#[tokio::test]
async fn concurrent_cells_do_not_see_each_others_disk_usage() {
    let looker = python(
        r"
        import time
        space = lambda: [(s.f_bfree, s.f_ffree) for s in map(os.statvfs, PLACES)]
        before = space()
        for _ in range(8):
            time.sleep(0.1)
            if space() != before: print(before, space())
        print('nothing')
        ",
    );
    beside_a_writer(&format!("{PLACES}{looker}")).await;
}

/// A cell searches while another one writes, and finds nothing.
async fn beside_a_writer(looker: &str) {
    let server = TestServer::start("").await;
    let writer = python(
        r"
        import time
        for place in PLACES: open(place + '/of the writer', 'wb').write(bytes(100 << 20))
        print('written', flush=True)
        time.sleep(1)
        ",
    );
    let writer = format!("{PLACES}{writer}");
    let (written, looked) = tokio::join!(run(&server, &writer), run(&server, looker));
    assert_eq!((written.ok(), looked.ok()), ("written\n".to_owned(), "nothing\n".to_owned()));
}
