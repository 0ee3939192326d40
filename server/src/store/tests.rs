//! Promises of the store, with a real folder.

use bytes::Bytes;

use super::*;
use crate::ids;
use crate::interaction::{
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

fn says(text: &str) -> Vec<Event> {
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
    tempfile::tempdir().expect("there is a place for temporary files")
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
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = folder();
    let store = open(folder.path()).await;
    let wanted = head(Content::Media(picture(b"in")));
    let log = store.begin(wanted.clone(), Persistence::Stored, InteractionSettings::default());
    log.append(says("42")).await.expect("it can be written");
    let delta = Delta::Media(picture(b"out"));
    let events = vec![Event::StepDelta { index: 0, delta }, end()];
    log.append(events).await.expect("it can be written");
    let entries = log.entries_from(0);
    store.close().await;

    let store = open(folder.path()).await;
    let found =
        store.find(&Owner::default(), &wanted.id).await.expect("it reads").expect("it is there");
    assert_eq!(found.head(), &wanted);
    assert_eq!(found.entries_from(0), entries);
    assert_eq!((found.created(), found.updated()), (log.created(), log.updated()));
}

#[tokio::test]
async fn an_interaction_whose_server_died_has_failed() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    log.append(says("4")).await.expect("written");
    store.close().await;

    let store = open(folder.path()).await;
    let found = store
        .find(&Owner::default(), &log.head().id)
        .await
        .expect("it reads")
        .expect("it is there");
    let projection = found.projection();
    assert_eq!(projection.status(), Status::Failed);
    assert_eq!(projection.steps().len(), 1, "what had happened is kept");
    let failure = projection.failure().expect("it failed");
    assert_eq!(failure.message, "The server stopped before this interaction ended.");
}

#[tokio::test]
async fn a_second_server_is_kept_out_of_the_folder() {
    let folder = folder();
    let store = open(folder.path()).await;
    let error = Store::open(folder.path()).await.expect_err("both have it");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    store.close().await;
    open(folder.path()).await;
}

#[tokio::test]
async fn every_reader_gets_every_event_from_where_it_wants_to_the_last_one() {
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
        log.append(says("a")).await.expect("written");
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
async fn an_append_that_nobody_waits_for_breaks_no_other() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    {
        let append = log.append(says("a"));
        tokio::pin!(append);
        // Polled once, so that it is queued, and dropped.
        let polled = futures_util::poll!(append.as_mut());
        assert!(polled.is_pending(), "the writer cannot have had its turn yet");
    }
    log.append(vec![end()]).await.expect("written");
    store.close().await;
    let store = open(folder.path()).await;
    let found = store
        .find(&Owner::default(), &log.head().id)
        .await
        .expect("it reads")
        .expect("it is there");
    assert_eq!(found.entries_from(0).len(), 5);
}

#[tokio::test]
async fn many_writers_at_once_lose_nothing() {
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
            log.append(says(&n.to_string())).await.expect("written");
            log.append(vec![end()]).await.expect("written");
            (n, log.head().id.clone())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        let (n, id) = writer.await.expect("it does not panic");
        let found =
            store.find(&Owner::default(), &id).await.expect("it reads").expect("it is there");
        let wanted = [Step::ModelOutput(vec![Content::text(n.to_string())])];
        assert_eq!(found.projection().steps(), wanted);
    }
}

#[tokio::test]
async fn what_is_deleted_is_gone_with_the_blobs_that_only_it_used() {
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
    assert_eq!(blobs(folder.path()), 2, "the same bytes are there once");
    let mut left = Vec::new();
    for id in &ids {
        assert!(store.delete(&Owner::default(), id).await.expect("it can be deleted"));
        assert!(
            !store.delete(&Owner::default(), id).await.expect("it can be asked"),
            "it was there twice"
        );
        assert!(store.find(&Owner::default(), id).await.expect("it can be asked").is_none());
        left.push(blobs(folder.path()));
    }
    assert_eq!(left, [2, 1, 0]);
}

#[tokio::test]
async fn an_interaction_that_is_deleted_while_it_runs_leaves_nothing() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    assert!(store.delete(&Owner::default(), &log.head().id).await.expect("it can be deleted"));
    log.append(vec![end()]).await.expect("its client still waits");
    assert_eq!(log.projection().status(), Status::Completed);
    assert!(
        store.find(&Owner::default(), &log.head().id).await.expect("it can be asked").is_none()
    );
    let rows = sqlx::query("SELECT 1 FROM events").fetch_all(&store.0.readers).await;
    assert!(rows.expect("it can be asked").is_empty());
}

#[tokio::test]
async fn what_is_to_be_forgotten_cannot_be_found() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log = store.begin(
        head(Content::text("?")),
        Persistence::Ephemeral,
        InteractionSettings::default(),
    );
    log.append(vec![end()]).await.expect("there is memory");
    assert_eq!(log.persistence(), Persistence::Ephemeral);
    assert!(
        store.find(&Owner::default(), &log.head().id).await.expect("it can be asked").is_none()
    );
}

/// Long after it has been moved for the first time, and as long as it could not be begun anew.
#[tokio::test]
async fn the_log_of_the_database_has_a_limit() {
    let folder = folder();
    let store = open(folder.path()).await;
    let log =
        store.begin(head(Content::text("?")), Persistence::Stored, InteractionSettings::default());
    let mebibyte = "x".repeat(1 << 20);
    let mut longest = 0;
    for _ in 0..100 {
        log.append(says(&mebibyte)).await.expect("it can be written");
        let file = std::fs::metadata(folder.path().join("belljar.sqlite-wal"));
        longest = longest.max(file.expect("the store made it").len() >> 20);
    }
    assert!((2..70).contains(&longest), "{longest} MiB");
}

#[tokio::test]
async fn blobs_without_a_database_are_no_new_folder() {
    for lost in ["missing", "empty"] {
        let folder = folder();
        let store = open(folder.path()).await;
        let input = Content::Media(picture(b"in"));
        let log = store.begin(head(input), Persistence::Stored, InteractionSettings::default());
        log.append(vec![end()]).await.expect("it can be written");
        store.close().await;
        for name in ["belljar.sqlite", "belljar.sqlite-wal", "belljar.sqlite-shm"] {
            let _ = std::fs::remove_file(folder.path().join(name)); // some are gone already
        }
        if lost == "empty" {
            std::fs::write(folder.path().join("belljar.sqlite"), "").expect("the folder is ours");
        }
        let error = Store::open(folder.path()).await.expect_err("it began anew");
        assert!(matches!(error, StoreError::NoDatabase(_)), "{lost}: {error}");
    }
    let folder = folder();
    open(folder.path()).await.close().await;
    std::fs::remove_file(folder.path().join("belljar.sqlite")).expect("it is there");
    open(folder.path()).await; // nothing was lost
}

#[tokio::test]
async fn a_blob_that_has_changed_is_not_given_out() {
    let folder = folder();
    let store = open(folder.path()).await;
    let input = Content::Media(picture(b"a picture"));
    let log = store.begin(head(input), Persistence::Stored, InteractionSettings::default());
    log.append(vec![end()]).await.expect("it can be written");
    let id = log.head().id.clone();
    drop(log);
    let prefix = std::fs::read_dir(folder.path().join("blobs")).expect("it is there").next();
    let prefix = prefix.expect("there is one").expect("it reads").path();
    let blob = std::fs::read_dir(prefix).expect("it is there").next();
    let blob = blob.expect("there is one").expect("it reads").path();
    std::fs::write(&blob, b"b picture").expect("it is ours");
    let error = store.find(&Owner::default(), &id).await.expect_err("it was given out");
    assert!(matches!(error, StoreError::DamagedBlob(_)), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_noticed_at_the_start() {
    use std::os::unix::fs::FileExt as _;
    let folder = folder();
    let store = open(folder.path()).await;
    for number in 0..50 {
        let log = store.begin(
            head(Content::text("?")),
            Persistence::Stored,
            InteractionSettings::default(),
        );
        log.append(says(&"x".repeat(1000 * number))).await.expect("it can be written");
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
    Store::open(folder.path()).await.expect_err("it was not noticed");
}

#[tokio::test]
async fn other_users_read_nothing_in_a_folder_that_was_open_before() {
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
            std::fs::write(folder.path().join("of-somebody-else"), "").expect("it is ours");
        }
        let store = open(folder.path()).await;
        let input = Content::Media(picture(b"in"));
        let log = store.begin(head(input), Persistence::Stored, InteractionSettings::default());
        log.append(vec![end()]).await.expect("it can be written");
        let wanted = if others { 0o755 } else { 0o700 };
        assert_eq!(mode(folder.path()), wanted, "a folder with other things in it is not ours");
        for name in ["blobs", "uploads", "belljar.sqlite", "belljar.sqlite-wal"] {
            let mode = mode(&folder.path().join(name));
            assert_eq!(mode & 0o077, 0, "{name} has {mode:o}");
        }
        store.close().await;
    }
}

#[tokio::test]
async fn what_was_created_while_the_clock_was_wrong_is_kept() {
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
    // One that is old, one of the future, and one of 1970 between two that are new.
    for (id, created) in ids.iter().zip([now - 90 * day, now + 60 * day, now, 0]) {
        sqlx::query("UPDATE interactions SET created_ms = $1 WHERE id = $2")
            .bind(created)
            .bind(id)
            .execute(&store.0.readers)
            .await
            .expect("the folder is ours");
    }
    let before = Timestamp::from_millisecond(now - 55 * day).expect("it is a time");
    assert_eq!(store.expire(before).await.expect("it can be asked"), 1);
    let mut left = Vec::new();
    for id in &ids {
        let found = store.find(&Owner::default(), id).await.expect("it can be asked");
        left.push(found.is_some());
    }
    assert_eq!(left, [false, true, true, true]);
}

/// As an older server left it.
#[tokio::test]
async fn interactions_from_before_belong_to_no_key_but_those_that_say_whose_they_are() {
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
        "ALTER TABLE interactions DROP COLUMN owner",
        "ALTER TABLE uploads DROP COLUMN held",
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
        assert!(store.find(&owner, id).await.expect("it can be asked").is_some());
        assert!(store.find(&other, id).await.expect("it can be asked").is_none());
        assert!(!store.delete(&other, id).await.expect("it can be asked"));
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_written_says_so() {
    let folder = folder();
    open(folder.path()).await.close().await;
    let options =
        SqliteConnectOptions::new().filename(folder.path().join("belljar.sqlite")).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("it is there");
    let failed = sqlx::query("DELETE FROM files").execute(&mut connection).await;
    let error = StoreError::from(failed.expect_err("it is read-only"));
    assert!(matches!(error, StoreError::ReadOnly), "{error}");
}
