//! Files that code leaves open are complete at the end of the run, and can be written in the next one.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::{execute, python, run_all};
use harness::TestServer;

fn file(answer: &Value, name: &str) -> Vec<u8> {
    let files = answer["files"].as_array().expect("a list");
    let file = files.iter().find(|file| file["name"] == name);
    let data = &file.unwrap_or_else(|| panic!("{name} is missing: {answer:.800}"))["data"];
    base64::engine::general_purpose::STANDARD
        .decode(data.as_str().expect("a file has data"))
        .expect("it is base64")
}

/// Wherever the code stores them, and however it ends.
#[tokio::test]
async fn files_left_open_are_returned_completely() {
    let server = TestServer::start("").await;
    let keep = [
        "f = open('a', 'w'); f.write('text')",
        "f = open('a', 'wb'); f.write(b'text')",
        "f = open('a', 'w+b'); f.write(b'text')",
        "import csv\nf = open('a', 'w'); csv.writer(f, lineterminator='').writerow(['text'])",
        "def f():\n  f = open('a', 'w'); f.write('text'); yield\ng = f(); next(g)",
        "class A: pass\na = A(); a.a = a; a.f = open('a', 'w'); a.f.write('text'); del a",
        "l = [{'f': open('a', 'w')}]; l[0]['f'].write('text')",
        "import codecs\nf = codecs.open('a', 'w', 'utf-8'); f.write('text')",
        "import io\nf = io.TextIOWrapper(open('a', 'wb')); f.write('text')",
        "import threading\ne, s = threading.Event(), threading.Event()\ndef t():\n  f = open('a', 'w'); f.write('text'); s.set(); e.wait()\nthreading.Thread(target=t, daemon=True).start(); s.wait()",
    ];
    for code in keep {
        let answer = execute(&server, code).await;
        assert_eq!(file(&answer, "a"), b"text", "{code}");
    }
    for end in ["1/0", "import sys; sys.exit(3)", "raise KeyboardInterrupt"] {
        let answer = execute(&server, &format!("{}\n{end}", keep[0])).await;
        assert_eq!((&answer["outcome"], file(&answer, "a")), (&json!("failed"), b"text".to_vec()));
    }
}

/// Formats with a trailer get it at the end of each run.
#[tokio::test]
async fn compressed_files_and_archives_left_open_are_readable_after_every_run() {
    let server = TestServer::start("").await;
    let first = python(
        r"
        import bz2, gzip, lzma, zipfile
        g, t, b, x = gzip.open('g.gz', 'wb'), gzip.open('t.gz', 'wt'), bz2.open('b.bz2', 'wb'), lzma.open('x.xz', 'w')
        for f in (g, b, x): f.write(b'one')
        t.write('one')
        z = zipfile.ZipFile('z.zip', 'w', zipfile.ZIP_DEFLATED); z.writestr('first', 'one')
        ",
    );
    let look = python(
        r"
        print(gzip.open('g.gz').read(), gzip.open('t.gz').read(), bz2.open('b.bz2').read(), lzma.open('x.xz').read())
        print({n: zipfile.ZipFile('z.zip').read(n) for n in zipfile.ZipFile('z.zip').namelist()})
        ",
    );
    let more = "for f in (g, b, x): f.write(b'two')\nt.write('two'); z.writestr('second', 'two')";
    let close = "for f in (g, t, b, x, z): f.close()";
    let runs = run_all(&server, &[&first, &look, more, &look, close, &look]).await;
    let one = "b'one' b'one' b'one' b'one'\n{'first': b'one'}\n";
    let two = "b'onetwo' b'onetwo' b'onetwo' b'onetwo'\n{'first': b'one', 'second': b'two'}\n";
    assert_eq!([1, 3, 5].map(|n| runs[n].result.as_str()), [one, two, two]);
}

#[tokio::test]
async fn files_left_open_by_libraries_are_returned_completely() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import cv2, h5py, imageio.v2, numpy as np, shelve
        h = h5py.File('a.h5', 'w'); h['x'] = [1, 2, 3]
        v = [cv2.VideoWriter('a.avi', cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 64))]
        for n in range(20): v[0].write(np.full((64, 64, 3), n, 'uint8'))
        g = imageio.v2.get_writer('a.gif', mode='I')
        for n in range(3): g.append_data(np.full((9, 9, 3), n * 80, 'uint8'))
        s = shelve.open('s'); s['key'] = 1
        ",
    );
    let look = python(
        r"
        import subprocess, sys
        from PIL import Image
        print(cv2.VideoCapture('a.avi').get(cv2.CAP_PROP_FRAME_COUNT), Image.open('a.gif').n_frames)
        print(shelve.open('s', 'r')['key'])
        print(subprocess.run(['cp', 'a.h5', 'b.h5']).returncode, h5py.File('b.h5', 'r')['x'][:])
        ",
    );
    let runs = run_all(&server, &[&code, &look]).await;
    assert_eq!(runs[1].result, "20.0 3\n1\n0 [1 2 3]\n");
}
