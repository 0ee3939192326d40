//! Files are read through descriptors: links are never followed.

use serde_json::{Value, json};

use crate::{alive, execute, python};
use harness::TestServer;

fn names(answer: &Value) -> Vec<&str> {
    let files = answer["files"].as_array().expect("a list");
    files.iter().map(|file| file["name"].as_str().expect("it is text")).collect()
}

/// [C06]
#[tokio::test]
async fn targets_of_links_are_never_returned() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import glob, matplotlib, os
        folder = matplotlib.__path__[0] + '/mpl-data/images'
        os.symlink(folder + '/home.png', 'a.png'); os.symlink('/proc/self/cmdline', 'b')
        os.symlink('..', 'c'); os.symlink('/', 'd'); os.symlink('loop', 'loop')
        os.mkdir('e'); os.symlink(os.path.relpath(folder, os.path.realpath('e')), 'e/f')
        print(len(open('a.png', 'rb').read()) > 100, len(glob.glob('e/f/*.png')) > 5)
        open('real', 'w').write('x')
        ",
    );
    let answer = execute(&server, &code).await;
    assert_eq!(answer["stdout"], "True True\n", "the code itself can follow them");
    assert_eq!((names(&answer), &answer["images"]), (vec!["real"], &json!([])));
}

/// [C09]
#[tokio::test]
async fn pipes_sockets_and_devices_are_skipped_without_blocking() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, socket, stat
        os.mkfifo('f.png'); s = socket.socket(socket.AF_UNIX); s.bind('s.png')
        for kind in (stat.S_IFCHR, stat.S_IFBLK):
            try: os.mknod('n.png', kind | 0o666, os.makedev(1, 5)); print('made')
            except OSError as e: print(type(e).__name__)
        print(sorted(os.listdir()))
        ",
    );
    let answer = execute(&server, &code).await;
    let stdout = "PermissionError\nPermissionError\n['f.png', 's.png']\n";
    assert_eq!(answer["stdout"], stdout);
    assert_eq!((names(&answer), &answer["images"]), (vec![], &json!([])));
    alive(&server).await;
}

/// [C11] [C12]
#[tokio::test]
async fn sparse_files_over_the_limits_are_refused_or_omitted() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        for name, size in (('a', 1 << 50), ('b', 1 << 40), ('c', 500 << 20), ('d', 400 << 20)):
            file = os.open(name, os.O_CREAT | os.O_RDWR)
            try: os.ftruncate(file, size); print('made')
            except OSError as e: print(e.errno)
        open('e', 'w').write('small')
        ",
    );
    let answer = execute(&server, &code).await;
    // 27 is EFBIG.
    assert_eq!(answer["stdout"], "27\n27\nmade\nmade\n");
    assert_eq!((names(&answer), &answer["files_left_out"]), (vec!["a", "b", "e"], &json!(2)));
    alive(&server).await;
}

/// [C26]
#[tokio::test]
async fn the_file_size_limit_is_an_error_and_not_a_signal() {
    let server = TestServer::start("").await;
    let code = "import os\nfile = os.open('x', os.O_CREAT | os.O_RDWR)\n\
                for size in (1 << 40, 600 << 20):\n\
                \x20   try: os.posix_fallocate(file, 0, size); print('made')\n\
                \x20   except OSError as e: print(e.errno in (27, 28))";
    assert_eq!(execute(&server, code).await["stdout"], "True\nTrue\n");
    alive(&server).await;
}

/// [C13]
#[tokio::test]
async fn folders_nested_a_thousand_deep_are_not_collected_completely() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        home = os.getcwd()
        for depth in range(1000): os.mkdir('d'); os.chdir('d')
        open('deep', 'w').write('x')
        os.chdir(home); open('top', 'w').write('y'); os.makedirs('a/b'); open('a/b/c', 'w')
        print(depth)
        ",
    );
    let answer = execute(&server, &code).await;
    let mut found = names(&answer);
    found.sort_unstable();
    assert_eq!((&answer["stdout"], found), (&json!("999\n"), vec!["a/b/c", "top"]));
    alive(&server).await;
}

/// [C15]
#[tokio::test]
async fn the_first_hundred_files_are_returned_and_the_others_counted() {
    let server = TestServer::start("").await;
    let code = "for i in range(9000): open(f'{i:04}', 'w').write('x')";
    let answer = execute(&server, code).await;
    assert_eq!(answer["outcome"], "ok");
    assert_eq!((names(&answer).len(), &answer["files_left_out"]), (100, &json!(8900)));
    assert_eq!(names(&answer)[..2], ["0000", "0001"], "the oldest first");
    alive(&server).await;
}

/// [B09]
#[tokio::test]
async fn the_first_twenty_images_are_returned_and_the_others_counted() {
    let server = TestServer::start("").await;
    let code = "head = b'\\x89PNG\\r\\n\\x1a\\n'\nfor i in range(5000): open(str(i), 'wb').write(head + b'%d' % i)";
    let answer = execute(&server, code).await;
    let images = answer["images"].as_array().expect("a list").len();
    assert_eq!((images, &answer["images_left_out"]), (20, &json!(4980)));
    alive(&server).await;
}

/// [C16]
#[tokio::test]
async fn unreadable_files_are_returned_or_counted_and_removed() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os
        open('f', 'w').write('x'); os.chmod('f', 0)
        os.mkdir('d'); open('d/g', 'w').write('y'); os.chmod('d', 0)
        os.mkdir('e'); open('e/h', 'w').write('z'); os.chmod('e', 0o200)
        for folder in ('d', 'e'):
            try: os.listdir(folder)
            except OSError as e: print(type(e).__name__)
        open('own', 'w').write('w')
        ",
    );
    let answer = execute(&server, &code).await;
    assert_eq!(answer["stdout"], "PermissionError\nPermissionError\n", "{answer}");
    let mut found = names(&answer);
    found.sort_unstable();
    // Only wardens with root can read files that the code itself cannot.
    let all = (vec!["d/g", "e/h", "f", "own"], json!(0));
    let some = (vec!["own"], json!(1));
    let found = (found, answer["files_left_out"].clone());
    assert!(found == all || found == some, "{answer}");
    // Nor may the folder be listed.
    let closed = execute(&server, "import os; os.chmod('.', 0o300); open('x', 'w')").await;
    assert_eq!(closed["outcome"], "ok", "{closed}");
    alive(&server).await;
}

/// [C17]
#[tokio::test]
async fn a_file_that_is_being_written_or_replaced_delays_no_other_run() {
    let server = TestServer::start("").await;
    let grows = "import os, time\n\
                 if os.fork() == 0:\n\
                 \x20   f = open('grows', 'wb', 0)\n\
                 \x20   while True: f.write(bytes(1 << 16))\n\
                 while not os.path.exists('grows'): time.sleep(0.01)";
    let swaps = python(
        r"
        import os, time
        def picture(): open('a.png', 'wb').write(b'\x89PNG\r\n\x1a\n' + bytes(1000))
        picture()
        if os.fork() == 0:
            while True:
                try:
                    os.remove('a.png'); os.mkfifo('a.png'); os.remove('a.png')
                    os.symlink('/dev/zero', 'a.png'); os.remove('a.png'); picture()
                except OSError: pass
        time.sleep(0.05)
        ",
    );
    for code in [grows, &swaps] {
        for _ in 0..3 {
            let answer = execute(&server, code).await;
            assert_eq!(answer["outcome"], "ok", "{answer}");
            let wall_ms = answer["usage"]["wall_ms"].as_f64().expect("a number");
            assert!(wall_ms < 1000.0, "{wall_ms} ms");
        }
        alive(&server).await;
    }
}

#[tokio::test]
async fn file_names_that_are_not_utf_8_or_unusual_are_returned_readably() {
    let server = TestServer::start("").await;
    let code =
        r"open('a\nb', 'w'); open('x' * 255, 'w'); open(b'\xff', 'w'); open('../workspace/q', 'w')";
    let answer = execute(&server, code).await;
    let mut found = names(&answer);
    found.sort_unstable();
    assert_eq!(found, ["a\nb", "q", &"x".repeat(255), "\u{fffd}"]);
}

/// [C28]
#[tokio::test]
async fn archives_with_paths_outside_cannot_write_outside() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import io, tarfile, zipfile
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode='w') as tar:
            link = tarfile.TarInfo('l'); link.type = tarfile.SYMTYPE; link.linkname = '/etc/passwd'
            tar.addfile(link)
            evil = tarfile.TarInfo('../../etc/evil'); evil.size = 1
            tar.addfile(evil, io.BytesIO(b'x'))
        buffer.seek(0)
        try: tarfile.open(fileobj=buffer).extractall(); print('extracted')
        except (OSError, tarfile.FilterError) as e: print('refused')
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, 'w') as z: z.writestr('../../etc/evil', 'x')
        zipfile.ZipFile(buffer).extractall()
        ",
    );
    let answer = execute(&server, &code).await;
    assert_eq!(answer["stdout"], "refused\n");
    assert_eq!(names(&answer), ["etc/evil"], "zipfile has put it in the work directory");
}
