//! Files of a session by path.

use serde_json::{Value, json};

use super::{open, run, stdout};
use harness::{Client, Reply, TestServer};

async fn put(server: &Client, session: &str, path: &str, content: impl Into<Vec<u8>>) -> Reply {
    let request = server.request("PUT", &format!("{session}/files/{path}"));
    Reply::to(request.body(content.into())).await
}

async fn read(server: &Client, session: &str, path: &str) -> Vec<u8> {
    let request = server.request("GET", &format!("{session}/files/{path}"));
    let response = request.send().await.expect("the server answers");
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    response.bytes().await.expect("it is whole").to_vec()
}

#[tokio::test]
async fn files_are_written_read_listed_and_deleted_by_path() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    for path in ["top", "a/b/c.txt", "a%20%C3%A4"] {
        assert_eq!(put(&server, &session, path, path).await.status, 200, "{path}");
    }
    let written = put(&server, &session, "top", "new").await;
    assert_eq!(written.body, json!({"path": "top", "bytes": 3}), "it replaces the old one");
    let code = "print(open('top').read(), open('a/b/c.txt').read(), open('a ä').read())\n\
                open('a/b/out', 'wb').write(bytes(range(256)))";
    assert_eq!(stdout(&server, &session, code).await, "new a/b/c.txt a%20%C3%A4\n");
    assert_eq!(read(&server, &session, "a/b/out").await, (0..=255).collect::<Vec<u8>>());
    let listed = server.get(&format!("{session}/files")).await.body;
    let paths = |listed: &Value| -> Vec<String> {
        let files = listed["files"].as_array().expect("a list").iter();
        files.map(|file| file["path"].as_str().expect("it is text").to_owned()).collect()
    };
    assert_eq!(paths(&listed), ["a ä", "a/b/c.txt", "a/b/out", "top"], "{listed}");
    assert_eq!((&listed["files"][2]["bytes"], &listed["is_cut"]), (&json!(256), &json!(false)));
    assert_eq!(server.delete(&format!("{session}/files/top")).await.status, 200);
    let gone = server.delete(&format!("{session}/files/top")).await;
    assert_eq!((gone.status, gone.message()), (404, "No file top."));
    assert_eq!(server.get(&format!("{session}/files/top")).await.status, 404);
}

#[tokio::test]
async fn files_written_before_the_first_code_and_after_it_are_not_its_output() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    put(&server, &session, "before", "1").await;
    let first = run(&server, &session, "open('own', 'w').write('x')").await;
    assert_eq!(first["files"], json!([{"name": "own", "data": "eA=="}]), "{first}");
    put(&server, &session, "later", "1").await;
    let second = run(&server, &session, "print(open('later').read())").await;
    assert_eq!((&second["files"], &second["stdout"]), (&json!([]), &json!("1\n")));
}

#[tokio::test]
async fn a_large_file_is_sent_in_parts() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let bytes = (5 << 20) + 17;
    let code = format!("open('large', 'wb').write(bytes(n % 251 for n in range({bytes})))");
    stdout(&server, &session, &code).await;
    let content = read(&server, &session, "large").await;
    assert_eq!(content.len(), bytes);
    assert!(content.iter().enumerate().all(|(n, byte)| usize::from(*byte) == n % 251));
    let copy = put(&server, &session, "copy", content).await;
    assert_eq!(copy.status, 200, "{}", copy.body);
    let same = "print(open('large', 'rb').read() == open('copy', 'rb').read())";
    assert_eq!(stdout(&server, &session, same).await, "True\n");
}

#[tokio::test]
async fn no_path_leads_out_of_the_work_directory() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    let links = "import os\nos.symlink('/etc/passwd', 'file')\nos.symlink('/', 'root')\n\
                 os.symlink('..', 'up')\nos.mkfifo('pipe')\nos.mkdir('folder')";
    stdout(&server, &session, links).await;
    let outside = ["%2E%2E/x", "a/%2E%2E/%2E%2E/x", "%2Fetc/passwd", "a%00b", "file"];
    for path in outside.into_iter().chain(["root/etc/passwd", "up/x", "pipe", "folder"]) {
        for method in ["GET", "PUT"] {
            let request = server.request(method, &format!("{session}/files/{path}"));
            let reply = Reply::to(request.body("x")).await;
            assert!(matches!(reply.status, 400 | 404), "{method} {path}: {}", reply.body);
            assert_ne!(reply.message(), "", "{method} {path}");
        }
    }
    let listed = server.get(&format!("{session}/files")).await.body;
    assert_eq!(listed["files"], json!([]), "links are no files");
    assert_eq!(server.delete(&format!("{session}/files/root")).await.status, 200, "a link is one");
    assert_eq!(stdout(&server, &session, "print(os.path.lexists('root'))").await, "False\n");
}

#[tokio::test]
async fn a_file_beyond_the_disk_is_refused_and_the_session_goes_on() {
    let server = TestServer::start("").await;
    let session = open(&server, json!({})).await;
    stdout(&server, &session, "kept = 1\nopen('fill', 'wb').write(bytes(510 << 20))").await;
    let full = put(&server, &session, "more", vec![0; 8 << 20]).await;
    assert_eq!(full.status, 400, "{}", full.body);
    assert!(full.message().contains("could not write more: No space left"), "{}", full.message());
    assert_eq!(server.delete(&format!("{session}/files/fill")).await.status, 200);
    assert_eq!(put(&server, &session, "more", vec![0; 8 << 20]).await.status, 200);
    assert_eq!(stdout(&server, &session, "print(kept)").await, "1\n");
}
