//! The disk: a full one, a clock that jumps, and files left by a killed server.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Program, Reply, direct};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("the temporary folder can be created")
}

fn path(interaction: &Value) -> String {
    format!("/v1beta/interactions/{}", interaction["id"].as_str().expect("it was stored"))
}

/// Writes until the disk is full.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("the folder is the server's");
    for size in [64 << 10, 1 << 10, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_is_reported_and_space_can_be_freed() {
    let data = folder();
    let server = Program::start_on_small_disk(data.path(), 12);
    let kept = server.create(direct("print('kept')")).await;
    let goes = server.create(direct("print('goes')")).await;
    let upload = server
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "raw")
        .header("content-type", "text/plain");
    let file = Reply::to(upload.body("x".repeat(3 << 20))).await.body["file"]["name"].clone();
    assert_eq!(server.get("/readyz").await.status, 200);

    fill(&server.sees(data.path()).join("of-another-program"));
    let reason = "The disk of this server is full, so nothing can be stored. Deleting interactions or \
                  files makes room.";
    let upload = server
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "raw")
        .header("content-type", "text/plain");
    let refused = Reply::to(upload.body("x".repeat(1 << 20))).await;
    assert_eq!((refused.status, refused.message()), (503, reason));
    let long = "x".repeat(100_000);
    let mut last =
        server.post("/v1beta/interactions", &direct(&format!("print(1) # {long}"))).await;
    for _ in 0..20 {
        if last.status != 200 {
            break;
        }
        last = server.post("/v1beta/interactions", &direct(&format!("print(1) # {long}"))).await;
    }
    assert_eq!((last.status, last.message()), (503, reason), "{}", last.body);
    // An interaction that began and could not be stored releases its space.
    fill(&server.sees(data.path()).join("of-another"));
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.message()), (503, "Not ready: the disk is full."));
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get(&path(&kept)).await.status, 200, "what was stored can be read");

    let deleted = server.delete(&path(&goes)).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    let file = format!("/v1beta/{}", file.as_str().expect("it was stored"));
    let deleted = server.delete(&file).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert_eq!(server.create(direct("print(42)")).await["steps"][1]["result"], "42\n");
    assert_eq!(server.get(&path(&kept)).await.body["steps"][2]["result"], "kept\n");
}

#[tokio::test]
async fn a_clock_jump_deletes_no_interactions() {
    let data = folder();
    let server = Program::start(data.path(), &[]);
    let kept = path(&server.create(direct("print(42)")).await);
    server.kill();
    let clock = data.path().join("clock");
    let last: i64 = std::fs::read_to_string(&clock)
        .expect("the server wrote it")
        .trim()
        .parse()
        .expect("it is a number of seconds");
    for jump in [60 * 24 * 60 * 60, -3 * 60 * 60] {
        std::fs::write(&clock, (last - jump).to_string()).expect("the folder is the test's");
        let log = data.path().join("log");
        let server = Program::start_with_log(data.path(), &["--retention", "1ms"], &log, "info");
        // The first look at the clock comes with the start, and is logged.
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while !std::fs::read_to_string(&log).expect("it is there").contains("clock jumped") {
            looks.tick().await;
        }
        assert_eq!(server.get(&kept).await.status, 200, "after a jump of {jump} s");
        server.kill();
    }
}

#[tokio::test]
async fn temporary_files_of_a_killed_server_are_removed_at_the_next_start() {
    let (data, scratch) = (folder(), folder());
    let left = || {
        let entries = std::fs::read_dir(scratch.path()).expect("it is the test's").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("belljar-")).collect::<Vec<_>>()
    };
    let server = Program::start_whole_in(data.path(), scratch.path());
    let first = left();
    assert_eq!(first.len(), 1);
    let other_data = folder();
    let other = Program::start_whole_in(other_data.path(), scratch.path());
    assert_eq!(left().len(), 2, "the folder of a server that lives stays");
    server.kill();
    let server = Program::start_whole_in(data.path(), scratch.path());
    let now = left();
    assert_eq!(now.len(), 2, "{now:?}");
    assert!(!now.contains(&first[0]), "{now:?}");
    for server in [&server, &other] {
        assert_eq!(server.post("/x/execute", &json!({"code": "print(1)"})).await.status, 200);
    }
}
