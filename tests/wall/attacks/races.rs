//! Files are collected while processes left in the cell rearrange the work directory.

use serde_json::Value;

use crate::{alive, execute, python};
use harness::TestServer;

/// Text that is in no file of a cell, but in the file that the links point to.
const OF_THE_SYSTEM: &str = "user:x:1000";

fn contents(answer: &Value) -> Vec<String> {
    use base64::Engine as _;
    let files = answer["files"].as_array().expect("a list");
    let decode = |data: &Value| {
        let data = data.as_str().expect("it is base64");
        base64::engine::general_purpose::STANDARD.decode(data).expect("it is base64")
    };
    files.iter().map(|file| String::from_utf8_lossy(&decode(&file["data"])).into_owned()).collect()
}

/// [C06] [C17]
#[tokio::test]
async fn a_folder_replaced_by_a_link_during_collection_is_not_followed() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import ctypes, os, time
        libc = ctypes.CDLL(None)
        for n in range(100):
            os.mkdir(f'{n}'); open(f'{n}/passwd', 'w').write('own'); os.symlink('/etc', f'{n} too')
        open('file', 'w').write('own'); os.symlink('/etc/passwd', 'link')
        def swap():
            for n in range(100): libc.renameat2(-100, b'%d' % n, -100, b'%d too' % n, 2)
            libc.renameat2(-100, b'file', -100, b'link', 2)
        for _ in range(3):
            if os.fork() == 0:
                while True: swap()
        seen = set()
        end = time.monotonic() + 2
        while len(seen) < 2 and time.monotonic() < end: seen.add(os.path.islink('7'))
        print(len(seen))
        ",
    );
    for _ in 0..5 {
        let answer = execute(&server, &code).await;
        assert_eq!(answer["stdout"], "2\n", "nothing was swapped: {answer:.300}");
        assert!(!contents(&answer).iter().any(|text| text.contains(OF_THE_SYSTEM)));
        alive(&server).await;
    }
}

/// [C17] The code forges the end of the run and continues.
#[tokio::test]
async fn files_that_change_after_a_run_delay_no_other_run() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, threading
        def turn_over(n):
            while True:
                try:
                    os.makedirs(f'{n}/a/b'); open(f'{n}/a/b/c', 'w').write('x')
                    os.rename(f'{n}/a', f'{n}/d'); os.remove(f'{n}/d/b/c'); os.removedirs(f'{n}/d/b')
                except OSError: pass
        for n in range(8): threading.Thread(target=turn_over, args=[n], daemon=True).start()
        big = open('big', 'wb', 0)
        print('on', flush=True)
        os.write(3, b'\0')
        while True: big.write(bytes(1 << 16))
        ",
    );
    for _ in 0..5 {
        let answer = execute(&server, &code).await;
        assert_eq!((&answer["outcome"], &answer["stdout"]), (&"ok".into(), &"on\n".into()));
        alive(&server).await;
    }
}

/// [C13] [C15]
#[tokio::test]
async fn the_largest_possible_folder_trees_are_collected_quickly() {
    let server = TestServer::start("").await;
    let wide = "import os\nfor i in range(90):\n  os.mkdir(f'{i}')\n  for j in range(100): os.mkdir(f'{i}/{j}')\nprint(j)";
    let long = "import os\nfor i in range(9000): open('x' * 240 + f'{i}', 'w')\nprint(99)";
    for code in [wide, long] {
        let began = std::time::Instant::now();
        let answer = execute(&server, code).await;
        assert_eq!((&answer["outcome"], &answer["stdout"]), (&"ok".into(), &"99\n".into()));
        let ran = answer["usage"]["wall_ms"].as_f64().expect("a number") / 1000.0;
        let looked = began.elapsed().as_secs_f64() - ran;
        assert!(looked < 3.0, "it was looked at for {looked} s");
        alive(&server).await;
    }
}

/// [C05] [C04]
#[tokio::test]
async fn changed_files_are_returned_and_files_only_read_are_not() {
    let server = TestServer::start("").await;
    let code = "open('grown', 'a').write('!'); open('read').read()\n\
        f = open('replaced', 'w'); f.write('xy'); f.close()\n\
        import os; os.rename('moved', 'moved away'); os.remove('removed'); os.utime('touched')\n\
        os.chmod('marked', 0o600)";
    let names = ["grown", "read", "replaced", "moved", "removed", "touched", "marked"];
    let files: Vec<_> =
        names.iter().map(|name| serde_json::json!({"name": name, "data": "eHg="})).collect();
    let request = serde_json::json!({"code": code, "files": files});
    let answer = server.post("/x/execute", &request).await.body;
    let files = answer["files"].as_array().expect("a list");
    let mut found: Vec<_> = files.iter().filter_map(|file| file["name"].as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["grown", "moved away", "replaced", "touched"], "{answer}");
}
