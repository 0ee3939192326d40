//! The disk: a full one, a clock that jumps, and files left by a killed server.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use harness::{Program, Reply, SmallDisk, direct};

const DISK_FULL: &str = "The disk of this server is full, so nothing can be stored. Delete \
                         interactions or files to free space.";

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
    let reason = DISK_FULL;
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

/// A file of so many bytes, sent in one request.
async fn upload(server: &Program, bytes: usize) -> Reply {
    let upload = server
        .request("POST", "/upload/v1beta/files")
        .header("x-goog-upload-protocol", "raw")
        .header("content-type", "text/plain");
    Reply::to(upload.body("x".repeat(bytes))).await
}

/// A server on this disk, with a model that runs no code: filling the disk takes many interactions.
fn start(disk: &SmallDisk) -> Program {
    let scenarios = folder();
    let scenario = "scenarios:\n- name: any\n  when: {}\n  script:\n  - text: stored\n";
    std::fs::write(scenarios.path().join("any.yaml"), scenario).expect("the folder is the test's");
    let path = scenarios.path().to_str().expect("it is text");
    // They are read before it is ready.
    Program::start_on_disk(disk, &["--scenarios", path])
}

/// Stores interactions of so many bytes until the disk is full, and gives their paths.
async fn store_until_full(server: &Program, bytes: usize) -> Vec<String> {
    let request = json!({"model": "m", "input": "x".repeat(bytes)});
    let mut stored = Vec::new();
    loop {
        let reply = server.post("/v1beta/interactions", &request).await;
        if reply.status != 200 {
            assert_eq!((reply.status, reply.message()), (503, DISK_FULL), "{}", reply.body);
            return stored;
        }
        stored.push(path(&reply.body));
    }
}

async fn delete_all(server: &Program, interactions: &[String]) {
    for interaction in interactions {
        let deleted = server.delete(interaction).await;
        assert_eq!(deleted.status, 200, "{}", deleted.body);
    }
}

/// The server stores interactions and files, and has none of these interactions.
async fn stores_again(server: &Program, deleted: &[String]) {
    for _ in 0..3 {
        let created = server.create(json!({"model": "m", "input": "again"})).await;
        assert_eq!(created["status"], "completed", "{created}");
    }
    let uploaded = upload(server, 2 << 20).await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.body);
    assert_eq!(server.get("/readyz").await.status, 200);
    for interaction in deleted {
        assert_eq!(server.get(interaction).await.status, 404, "it was deleted");
    }
}

#[tokio::test]
async fn a_disk_filled_with_interactions_has_room_after_they_are_deleted() {
    for (mib, bytes) in [(12, 100_000), (40, 300_000), (160, 3_000_000)] {
        let disk = SmallDisk::new(mib);
        let server = start(&disk);
        let stored = store_until_full(&server, bytes).await;
        let stored_bytes = stored.len() * bytes;
        assert!(stored_bytes > mib as usize * (1 << 20) / 2, "{stored_bytes} bytes on {mib} MiB");
        delete_all(&server, &stored).await;
        stores_again(&server, &stored).await;
        // And once more, with what the first time has left.
        let stored = store_until_full(&server, bytes).await;
        assert!(stored.len() * bytes > mib as usize * (1 << 20) / 2);
        delete_all(&server, &stored).await;
        stores_again(&server, &stored).await;
    }
}

#[tokio::test]
async fn a_full_disk_has_room_after_deletions_and_a_kill_in_any_order() {
    let disk = SmallDisk::new(40);
    let server = start(&disk);
    let stored = store_until_full(&server, 300_000).await;
    delete_all(&server, &stored).await;
    server.kill();
    let server = start(&disk);
    stores_again(&server, &stored).await;

    let stored = store_until_full(&server, 300_000).await;
    server.kill();
    let server = start(&disk);
    for interaction in &stored {
        assert_eq!(server.get(interaction).await.status, 200, "what was stored is there");
    }
    delete_all(&server, &stored).await;
    stores_again(&server, &stored).await;
}

#[tokio::test]
async fn half_of_the_interactions_deleted_make_room_for_others() {
    let disk = SmallDisk::new(24);
    let server = start(&disk);
    let stored = store_until_full(&server, 300_000).await;
    let (gone, kept) = stored.split_at(stored.len() / 2);
    delete_all(&server, gone).await;
    let others = store_until_full(&server, 300_000).await;
    assert!(others.len() + 6 >= gone.len(), "{} after {}", others.len(), gone.len());
    for interaction in kept.iter().chain(&others) {
        assert_eq!(server.get(interaction).await.status, 200, "what was stored is there");
    }
}

#[tokio::test]
async fn uploads_of_any_size_to_a_full_disk_get_503() {
    let disk = SmallDisk::new(12);
    let server = start(&disk);
    fill(&server.sees(disk.folder()).join("of-another-program"));
    for bytes in [1, 1000, 10_000, 100_000, 1 << 20, 4 << 20] {
        for _ in 0..3 {
            let reply = upload(&server, bytes).await;
            if reply.status != 200 || bytes > 100_000 {
                assert_eq!((reply.status, reply.message()), (503, DISK_FULL), "{bytes} bytes");
            }
            fill(&server.sees(disk.folder()).join("of-another"));
        }
    }
    let left = std::fs::read_dir(server.sees(disk.folder()).join("uploads"));
    assert_eq!(left.expect("it is there").count(), 0, "nothing is left of failed uploads");
}

/// A request that does not fit must not take the space that smaller ones need.
#[tokio::test]
async fn an_interaction_larger_than_the_disk_leaves_room_for_others() {
    let disk = SmallDisk::new(60);
    let server = start(&disk);
    let input = |bytes| json!({"model": "m", "input": "x".repeat(bytes)});
    let large = server.post("/v1beta/interactions", &input(60_000_000)).await;
    assert_eq!((large.status, large.message()), (503, DISK_FULL), "{}", large.body);
    assert_eq!(server.get("/readyz").await.status, 200);
    let other = server.post("/v1beta/interactions", &input(10_000_000)).await;
    assert_eq!(other.status, 200, "{}", other.body);
}

#[tokio::test]
async fn a_read_only_data_folder_is_named_as_the_reason() {
    let disk = SmallDisk::new(12);
    let server = start(&disk);
    disk.run("mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"");
    let reason =
        "The data folder of this server is read-only, so nothing can be stored or deleted.";
    let reply = upload(&server, 1000).await;
    assert_eq!((reply.status, reply.message()), (503, reason), "{}", reply.body);
    let ready = server.get("/readyz").await;
    assert_eq!((ready.status, ready.message()), (503, "Not ready: the data folder is read-only."));
    disk.run("umount \"$0\"");
    assert_eq!(server.get("/readyz").await.status, 200);
    assert_eq!(upload(&server, 1000).await.status, 200);
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
