//! Tests of the store, with a real folder.

use bytes::Bytes;

use super::*;
use domain::ids;
use domain::interaction::{
    Content, Delta, Event, Media, MediaKind, Source, Status, StepStart, Tokens, Usage,
};

fn end() -> Event {
    let usage = Usage { input: Tokens::text(1), output: Tokens::text(2), ..Usage::default() };
    Event::Finished { status: Status::Completed, usage }
}

fn head(input: Content) -> Head {
    Head {
        id: ids::Ids::random().interaction(),
        model: "m".into(),
        previous_interaction_id: None,
        input: vec![Step::UserInput(vec![input])],
        resume_state: None,
        owner: Owner::default(),
    }
}

fn picture(bytes: &'static [u8]) -> Media {
    let source = Source::Inline(Bytes::from_static(bytes));
    Media { kind: MediaKind::Image, mime_type: Some("image/png".into()), source }
}

fn output(text: &str) -> Vec<Event> {
    vec![
        Event::StepStarted { index: 0, start: StepStart::ModelOutput },
        Event::StepDelta { index: 0, delta: Delta::Text(text.into()) },
        Event::StepStopped { index: 0 },
    ]
}

async fn open(folder: &Path) -> Store {
    Store::open(folder).await.expect("the folder is ours")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary files can be created")
}

fn blobs(folder: &Path) -> usize {
    let folders = std::fs::read_dir(folder.join("blobs")).expect("the store made it");
    folders
        .map(|folder| {
            let folder = folder.expect("it is readable").path();
            std::fs::read_dir(folder).expect("it is a folder").count()
        })
        .sum()
}

#[tokio::test]
async fn acknowledged_events_survive_a_restart() {
    let folder = folder();
    let store = open(folder.path()).await;
    let wanted = head(Content::Media(picture(b"in")));
    let log = store.begin(wanted.clone(), Persistence::Stored, InteractionSettings::default());
    log.append(output("42")).await.expect("it can be written");
    let delta = Delta::Media(picture(b"out"));
    let events = vec![Event::StepDelta { index: 0, delta }, end()];
    log.append(events).await.expect("it can be written");
    let entries = log.entries_from(0);
    store.close().await;

    let store = open(folder.path()).await;
    let found = store
        .find(&Owner::default(), &wanted.id)
        .await
        .expect("it is readable")
        .expect("it is there");
    assert_eq!(found.head(), &wanted);
    assert_eq!(found.entries_from(0), entries);
    assert_eq!((found.created(), found.updated()), (log.created(), log.updated()));
}

#[tokio::test]
async fn an_interaction_of_a_server_that_died_is_failed() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    log.append(output("4")).await.expect("written");
    store.close().await;

    let store = open(folder.path()).await;
    let found = store
        .find(&Owner::default(), &log.head().id)
        .await
        .expect("it is readable")
        .expect("it is there");
    let projection = found.projection();
    assert_eq!(projection.status(), Status::Failed);
    assert_eq!(projection.steps().len(), 1, "earlier steps are kept");
    let failure = projection.failure().expect("it failed");
    assert_eq!(failure.message, "The server stopped before this interaction ended.");
}

#[tokio::test]
async fn a_second_server_cannot_open_the_folder() {
    let folder = folder();
    let store = open(folder.path()).await;
    let error = Store::open(folder.path()).await.expect_err("both have it");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    store.close().await;
    open(folder.path()).await;
}

#[tokio::test]
async fn every_follower_gets_all_events_from_its_start_to_the_last_one() {
    let folder = folder();
    let store = open(folder.path()).await;
    for persistence in [Persistence::Stored, Persistence::Ephemeral] {
        let log =
            store.begin(head(Content::text("?")), persistence, InteractionSettings::default());
        let readers: Vec<_> = (0..4)
            .map(|from| {
                let mut follower = log.follow(from);
                tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while let Some((number, _)) = follower.next().await {
                        seen.push(number);
                    }
                    seen
                })
            })
            .collect();
        log.append(output("a")).await.expect("written");
        log.append(vec![end()]).await.expect("written");
        for (from, reader) in readers.into_iter().enumerate() {
            let seen = reader.await.expect("it does not panic");
            assert_eq!(seen, (from..5).collect::<Vec<_>>(), "{persistence:?}");
        }
        let mut late = log.follow(5);
        assert!(late.next().await.is_none(), "nothing follows the last event");
    }
}

#[tokio::test]
async fn a_dropped_append_does_not_break_later_ones() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    {
        let append = log.append(output("a"));
        tokio::pin!(append);
        // Poll once, so that it is queued, then drop it.
        let polled = futures_util::poll!(append.as_mut());
        assert!(polled.is_pending(), "the writer has not run yet");
    }
    log.append(vec![end()]).await.expect("written");
    store.close().await;
    let store = open(folder.path()).await;
    let found = store
        .find(&Owner::default(), &log.head().id)
        .await
        .expect("it is readable")
        .expect("it is there");
    assert_eq!(found.entries_from(0).len(), 5);
}

#[tokio::test]
async fn concurrent_appends_lose_nothing() {
    let folder = folder();
    let store = open(folder.path()).await;
    let writers = (0..300).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let log = store.begin(
                head(Content::text("?")),
                Persistence::Stored,
                InteractionSettings::default(),
            );
            log.append(output(&n.to_string())).await.expect("written");
            log.append(vec![end()]).await.expect("written");
            (n, log.head().id.clone())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        let (n, id) = writer.await.expect("it does not panic");
        let found =
            store.find(&Owner::default(), &id).await.expect("it is readable").expect("it is there");
        let wanted = [Step::ModelOutput(vec![Content::text(n.to_string())])];
        assert_eq!(found.projection().steps(), wanted);
    }
}

#[tokio::test]
async fn deleting_an_interaction_removes_the_blobs_that_only_it_used() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut ids = Vec::new();
    for bytes in [b"shared" as &[u8], b"shared", b"own"] {
        let log = store.begin(
            head(Content::Media(picture(bytes))),
            Persistence::Stored,
            InteractionSettings::default(),
        );
        log.append(vec![end()]).await.expect("it can be written");
        ids.push(log.head().id.clone());
    }
    assert_eq!(blobs(folder.path()), 2, "equal content is stored once");
    let mut left = Vec::new();
    for id in &ids {
        assert!(store.delete(&Owner::default(), id).await.expect("it can be deleted"));
        assert!(
            !store.delete(&Owner::default(), id).await.expect("it can be read"),
            "it was deleted twice"
        );
        assert!(store.find(&Owner::default(), id).await.expect("it can be read").is_none());
        left.push(blobs(folder.path()));
    }
    assert_eq!(left, [2, 1, 0]);
}

#[tokio::test]
async fn an_interaction_deleted_while_it_runs_leaves_nothing_on_the_disk() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    assert!(store.delete(&Owner::default(), &log.head().id).await.expect("it can be deleted"));
    log.append(vec![end()]).await.expect("its client still waits");
    assert_eq!(log.projection().status(), Status::Completed);
    assert!(store.find(&Owner::default(), &log.head().id).await.expect("it can be read").is_none());
    let rows = sqlx::query("SELECT 1 FROM events").fetch_all(&store.0.readers).await;
    assert!(rows.expect("it can be read").is_empty());
}

#[tokio::test]
async fn an_ephemeral_interaction_cannot_be_found() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log = store.begin(
        head(Content::text("?")),
        Persistence::Ephemeral,
        InteractionSettings::default(),
    );
    log.append(vec![end()]).await.expect("there is memory");
    assert_eq!(log.persistence(), Persistence::Ephemeral);
    assert!(store.find(&Owner::default(), &log.head().id).await.expect("it can be read").is_none());
}

/// Even while it cannot be restarted from its beginning.
#[tokio::test]
async fn the_write_ahead_log_has_a_limit() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    let mebibyte = "x".repeat(1 << 20);
    let mut longest = 0;
    for _ in 0..100 {
        log.append(output(&mebibyte)).await.expect("it can be written");
        let file = std::fs::metadata(folder.path().join("belljar.sqlite-wal"));
        longest = longest.max(file.expect("the store made it").len() >> 20);
    }
    assert!((2..70).contains(&longest), "{longest} MiB");
}

#[tokio::test]
async fn a_folder_with_blobs_but_no_database_is_rejected() {
    for lost in ["missing", "empty"] {
        let folder = folder();
        let store = open(folder.path()).await;
        let input = Content::Media(picture(b"in"));
        let log = store.begin(head(input), Persistence::Stored, InteractionSettings::default());
        log.append(vec![end()]).await.expect("it can be written");
        store.close().await;
        for name in ["belljar.sqlite", "belljar.sqlite-wal", "belljar.sqlite-shm"] {
            let _ = std::fs::remove_file(folder.path().join(name)); // some do not exist
        }
        if lost == "empty" {
            std::fs::write(folder.path().join("belljar.sqlite"), "").expect("the folder is ours");
        }
        let error = Store::open(folder.path()).await.expect_err("it created an empty store");
        assert!(matches!(error, StoreError::NoDatabase(_)), "{lost}: {error}");
    }
    let folder = folder();
    open(folder.path()).await.close().await;
    std::fs::remove_file(folder.path().join("belljar.sqlite")).expect("it is there");
    open(folder.path()).await; // without blobs, nothing was lost
}

#[tokio::test]
async fn a_changed_blob_is_an_error() {
    let folder = folder();
    let store = open(folder.path()).await;
    let input = Content::Media(picture(b"a picture"));
    let log = store.begin(head(input), Persistence::Stored, InteractionSettings::default());
    log.append(vec![end()]).await.expect("it can be written");
    let id = log.head().id.clone();
    drop(log);
    let prefix = std::fs::read_dir(folder.path().join("blobs")).expect("it is there").next();
    let prefix = prefix.expect("there is one").expect("it is readable").path();
    let blob = std::fs::read_dir(prefix).expect("it is there").next();
    let blob = blob.expect("there is one").expect("it is readable").path();
    std::fs::write(&blob, b"b picture").expect("it is ours");
    let error = store.find(&Owner::default(), &id).await.expect_err("it was returned");
    assert!(matches!(error, StoreError::DamagedBlob(_)), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_detected_at_the_start() {
    use std::os::unix::fs::FileExt as _;
    let folder = folder();
    let store = open(folder.path()).await;
    for number in 0..50 {
        let log = store.begin(
            head(Content::text("?")),
            Persistence::Stored,
            InteractionSettings::default(),
        );
        log.append(output(&"x".repeat(1000 * number))).await.expect("it can be written");
        log.append(vec![end()]).await.expect("it can be written");
    }
    store.close().await;
    let database =
        std::fs::OpenOptions::new().write(true).open(folder.path().join("belljar.sqlite"));
    let database = database.expect("it is ours");
    let pages = database.metadata().expect("it is there").len() / 4096;
    for page in 10..pages {
        database.write_all_at(&[0xa5; 64], page * 4096).expect("it is ours");
    }
    Store::open(folder.path()).await.expect_err("it was not detected");
}

#[tokio::test]
async fn opening_a_data_folder_removes_the_permissions_of_other_users() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    for others in [false, true] {
        set(folder.path(), 0o755);
        for (name, found) in [("blobs", 0o755), ("uploads", 0o777), ("belljar.sqlite", 0o644)] {
            let path = folder.path().join(name);
            if path.exists() {
                set(&path, found);
            }
        }
        if others {
            std::fs::write(folder.path().join("of-another-program"), "").expect("it is ours");
        }
        let store = open(folder.path()).await;
        let input = Content::Media(picture(b"in"));
        let log = store.begin(head(input), Persistence::Stored, InteractionSettings::default());
        log.append(vec![end()]).await.expect("it can be written");
        let wanted = if others { 0o755 } else { 0o700 };
        assert_eq!(mode(folder.path()), wanted, "a folder with other files is left as it is");
        for name in ["blobs", "uploads", "belljar.sqlite", "belljar.sqlite-wal"] {
            let mode = mode(&folder.path().join(name));
            assert_eq!(mode & 0o077, 0, "{name} has {mode:o}");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn interactions_created_while_the_clock_was_wrong_do_not_expire() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let log = store.begin(
            head(Content::text("?")),
            Persistence::Stored,
            InteractionSettings::default(),
        );
        log.append(vec![end()]).await.expect("it can be written");
        ids.push(log.head().id.clone());
    }
    store.close().await;
    let store = open(folder.path()).await;
    let day = 24 * 60 * 60 * 1000;
    let now = Timestamp::now().as_millisecond();
    // An old one, one of the future, a new one, and one of 1970.
    for (id, created) in ids.iter().zip([now - 90 * day, now + 60 * day, now, 0]) {
        sqlx::query("UPDATE interactions SET created_ms = $1 WHERE id = $2")
            .bind(created)
            .bind(id)
            .execute(&store.0.readers)
            .await
            .expect("the folder is ours");
    }
    let before = Timestamp::from_millisecond(now - 55 * day).expect("it is a time");
    assert_eq!(store.expire(before).await.expect("it can be read"), 1);
    let mut left = Vec::new();
    for id in &ids {
        let found = store.find(&Owner::default(), id).await.expect("it can be read");
        left.push(found.is_some());
    }
    assert_eq!(left, [false, true, true, true]);
}

/// The schema of an older server is restored first.
#[tokio::test]
async fn older_interactions_without_an_owner_get_the_default_owner() {
    let folder = folder();
    let store = open(folder.path()).await;
    let mut ids = Vec::new();
    for resume_state in [None, Some(r#"{"owner": "a"}"#.to_owned())] {
        let head = Head { resume_state, ..head(Content::text("?")) };
        let log = store.begin(head, Persistence::Stored, InteractionSettings::default());
        log.append(vec![end()]).await.expect("it can be written");
        ids.push(log.head().id.clone());
    }
    for statement in [
        "DROP INDEX interactions_by_owner",
        "ALTER TABLE interactions DROP COLUMN owner",
        "ALTER TABLE uploads DROP COLUMN held",
        "ALTER TABLE interactions DROP COLUMN resumes",
        "ALTER TABLE interactions DROP COLUMN memory",
        "ALTER TABLE events DROP COLUMN memory",
        "DROP TABLE cached_contents",
        "DROP TABLE file_search_stores",
        "DROP TABLE file_search_documents",
        "DROP TABLE batches",
        "DROP TABLE batch_requests",
        "DELETE FROM _sqlx_migrations WHERE version >= 4",
    ] {
        sqlx::query(statement).execute(&store.0.readers).await.expect("the folder is ours");
    }
    store.close().await;

    let store = open(folder.path()).await;
    let a = Owner::named("a".to_owned());
    for (id, owner, other) in
        [(&ids[0], Owner::default(), a.clone()), (&ids[1], a, Owner::default())]
    {
        assert!(store.find(&owner, id).await.expect("it can be read").is_some());
        assert!(store.find(&other, id).await.expect("it can be read").is_none());
        assert!(!store.delete(&other, id).await.expect("it can be read"));
    }
}

#[tokio::test]
async fn a_read_only_database_is_its_own_error() {
    let folder = folder();
    open(folder.path()).await.close().await;
    let options =
        SqliteConnectOptions::new().filename(folder.path().join("belljar.sqlite")).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("it is there");
    let failed = sqlx::query("DELETE FROM files").execute(&mut connection).await;
    let error = StoreError::from(failed.expect_err("it is read-only"));
    assert!(matches!(error, StoreError::ReadOnly), "{error}");
}

/// The connections of one store open side by side. Many stores at once give them the chance to conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn many_stores_open_side_by_side() {
    let opened = (0..128).map(|_| {
        tokio::spawn(async {
            let folder = folder();
            for _ in 0..2 {
                open(folder.path()).await.close().await;
            }
        })
    });
    for opened in opened.collect::<Vec<_>>() {
        opened.await.expect("each has its own folder");
    }
}

#[tokio::test]
async fn batches_from_before_their_methods_generate_contents() {
    let folder = folder();
    let store = open(folder.path()).await;
    let now = now();
    let batch = StoredBatch {
        id: ids::batch(),
        owner: Owner::default(),
        namespace: String::new(),
        model: "m".into(),
        method: BatchMethod::EmbedContent,
        display_name: String::new(),
        is_file: false,
        state: BatchState::Pending,
        created: now,
        updated: now,
        ended: None,
        requests: 1,
        succeeded: 0,
        failed: 0,
        request_bytes: 2,
        response_bytes: 0,
    };
    let line = BatchLine { key: None, request: "{}".into(), response: None };
    assert!(store.batches().create(batch.clone(), vec![line]).await.expect("it can be written"));
    let find = async |store: &Store| {
        let found = store.batches().find(&Owner::default(), &batch.id).await;
        found.expect("it can be read").expect("it is there")
    };
    assert_eq!(find(&store).await, batch);
    for statement in [
        "DROP INDEX interactions_by_owner",
        "ALTER TABLE batches DROP COLUMN method",
        "DROP TABLE file_search_stores",
        "DROP TABLE file_search_documents",
        "DELETE FROM _sqlx_migrations WHERE version >= 11",
    ] {
        sqlx::query(statement).execute(&store.0.readers).await.expect("the folder is ours");
    }
    store.close().await;

    let store = open(folder.path()).await;
    assert_eq!(find(&store).await.method, BatchMethod::GenerateContent);
}

#[tokio::test]
async fn pages_of_an_owner_have_its_interactions_newest_first() {
    let folder = folder();
    let store = open(folder.path()).await;
    let theirs = Owner::named("theirs".into());
    let mut ids = Vec::new();
    for (at, text) in ["one apple", "two pears", "three Apples"].into_iter().enumerate() {
        let head = head(Content::text(text));
        ids.push(head.id.clone());
        let log = store.begin(head, Persistence::Stored, InteractionSettings::default());
        log.append(output("42")).await.expect("it can be written");
        if at != 1 {
            log.append(vec![end()]).await.expect("it can be written");
        }
        let other = Head { owner: theirs.clone(), ..self::head(Content::text("an apple")) };
        let log = store.begin(other, Persistence::Stored, InteractionSettings::default());
        log.append(vec![end()]).await.expect("it can be written");
    }
    let found = async |query: PageQuery| {
        let page = store.page(&Owner::default(), &query).await.expect("it can be read");
        (page.rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>(), page)
    };
    let (first, page) = found(PageQuery { size: 2, ..PageQuery::default() }).await;
    assert_eq!(first, [ids[2].clone(), ids[1].clone()]);
    let [third, second] = &page.rows[..] else { panic!("{page:?}") };
    assert_eq!((third.input.as_str(), third.tokens), ("three Apples", Some((1, 2))));
    assert_eq!((third.status.as_str(), second.status.as_str()), ("completed", "in_progress"));
    let (rest, page) =
        found(PageQuery { size: 2, before: page.next, ..PageQuery::default() }).await;
    assert_eq!((rest, page.next), (vec![ids[0].clone()], None));
    let search =
        |text: &str| PageQuery { size: 9, search: Some(text.into()), ..PageQuery::default() };
    assert_eq!(found(search("apple")).await.0, [ids[2].clone(), ids[0].clone()]);
    assert_eq!(found(search(&ids[1])).await.0, [ids[1].clone()]);
    let status = PageQuery { size: 9, status: Some("in_progress".into()), ..PageQuery::default() };
    assert_eq!(found(status).await.0, [ids[1].clone()]);
}
