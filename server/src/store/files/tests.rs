//! Promises of the files, with a real folder.

use std::path::Path;

use super::*;
use crate::interaction::{
    Content, InteractionSettings, Media, MediaKind, Source, Status, Step, Usage,
};
use crate::store::{Head, Owner, Persistence, Store};

const LIMITS: FileLimits =
    FileLimits { file_bytes: 100, total_bytes: 150, lifetime: Duration::from_secs(48 * 60 * 60) };

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

async fn open(folder: &Path) -> (Store, Files) {
    let store = Store::open(folder).await.expect("the folder is ours");
    let files = store.files(LIMITS);
    (store, files)
}

fn somebody(name: &str) -> Owner {
    Owner::named(name.to_owned())
}

fn csv(bytes: Option<u64>) -> Announced {
    Announced { id: None, display_name: None, mime_type: "text/csv".to_owned(), bytes }
}

async fn coming(files: &Files, upload: &str) -> Receiving {
    match files.progress(None, upload).await.expect("it was begun") {
        Progress::Coming(receiving) => receiving,
        Progress::Done(file) => panic!("it is done: {file:?}"),
    }
}

async fn sent(files: &Files, owner: &Owner, content: &[u8]) -> File {
    let upload = files.begin(owner, csv(None)).await.expect("there is room");
    let mut receiving = coming(files, &upload).await;
    receiving.write(content).await.expect("it is small");
    receiving.finish().await.expect("it is whole")
}

fn in_folder(folder: &Path, name: &str) -> usize {
    fn count(folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).expect("it is a folder");
        entries
            .map(|entry| {
                let path = entry.expect("it reads").path();
                if path.is_dir() { count(&path) } else { 1 }
            })
            .sum()
    }
    count(&folder.join(name))
}

#[tokio::test]
async fn what_has_come_of_an_upload_survives_a_restart() {
    let folder = folder();
    let (store, files) = open(folder.path()).await;
    let upload = files.begin(&somebody("a"), csv(Some(6))).await.expect("there is room");
    let mut receiving = coming(&files, &upload).await;
    receiving.write(b"a,b\n").await.expect("it is small");
    receiving.flush().await.expect("there is a disk");
    drop(receiving);
    store.close().await;
    drop((store, files));

    let (_store, files) = open(folder.path()).await;
    files.sweep(Timestamp::now()).await.expect("there is a disk");
    let mut receiving = coming(&files, &upload).await;
    assert_eq!(receiving.received(), 4);
    receiving.go_on_at(4).await.expect("there is no gap");
    receiving.write(b"1,").await.expect("it is small");
    let file = receiving.finish().await.expect("it is whole");
    assert_eq!(files.content(&file).await.expect("it is there"), "a,b\n1,");
    assert_eq!(in_folder(folder.path(), "uploads"), 0);
    let Progress::Done(again) = files.progress(None, &upload).await.expect("it is known") else {
        panic!("it has not ended");
    };
    assert_eq!(again, file);
}

#[tokio::test]
async fn a_client_may_go_back_and_may_not_leave_a_gap() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let upload = files.begin(&somebody("a"), csv(None)).await.expect("there is room");
    let mut receiving = coming(&files, &upload).await;
    receiving.write(b"abcdef").await.expect("it is small");
    let gap = receiving.go_on_at(7).await.expect_err("a byte is missing");
    assert!(matches!(gap, UploadError::Gap { offset: 7, received: 6 }), "{gap}");
    receiving.go_on_at(2).await.expect("there is no gap");
    receiving.write(b"X").await.expect("it is small");
    let file = receiving.finish().await.expect("it is whole");
    assert_eq!(files.content(&file).await.expect("it is there"), "abX");
}

#[tokio::test]
async fn two_requests_do_not_write_to_one_upload() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let upload = files.begin(&somebody("a"), csv(None)).await.expect("there is room");
    let first = coming(&files, &upload).await;
    let second = files.progress(None, &upload).await.expect_err("both have it");
    assert!(matches!(second, UploadError::Busy), "{second}");
    drop(first);
    coming(&files, &upload).await;
}

#[tokio::test]
async fn a_size_that_was_announced_is_kept() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    for content in [b"abc".as_slice(), b"abcde"] {
        let upload = files.begin(&somebody("a"), csv(Some(4))).await.expect("there is room");
        let mut receiving = coming(&files, &upload).await;
        let error = match receiving.write(content).await {
            Ok(()) => receiving.finish().await.expect_err("it is too short"),
            Err(error) => {
                receiving.cancel().await.expect("there is a disk");
                error
            }
        };
        assert!(matches!(error, UploadError::WrongSize { announced: 4, .. }), "{error}");
        let gone = files.progress(None, &upload).await.expect_err("it has ended");
        assert!(matches!(gone, UploadError::Unknown), "{gone}");
    }
    assert_eq!(in_folder(folder.path(), "uploads"), 0);
}

#[tokio::test]
async fn a_file_and_all_files_of_an_owner_have_a_limit() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let owner = somebody("a");
    let error = files.begin(&owner, csv(Some(101))).await.expect_err("it is too large");
    assert!(matches!(error, UploadError::TooLarge(100)), "{error}");
    let upload = files.begin(&owner, csv(None)).await.expect("nobody knows how large it is");
    let mut receiving = coming(&files, &upload).await;
    receiving.write(&[b'x'; 100]).await.expect("it is as large as it may be");
    assert!(matches!(receiving.write(b"x").await, Err(UploadError::TooLarge(100))));
    receiving.finish().await.expect("what came is a file");

    files.begin(&owner, csv(None)).await.expect_err("it may be larger than the room that is left");
    files.begin(&owner, csv(Some(50))).await.expect("there is just room for it");
    let error = files.begin(&owner, csv(Some(1))).await.expect_err("there is no room");
    assert!(matches!(error, UploadError::Full { total_bytes: 150 }), "{error}");
    files.begin(&somebody("b"), csv(Some(100))).await.expect("others have room of their own");
}

#[tokio::test]
async fn uploads_to_which_nothing_comes_hold_no_room() {
    let folder = folder();
    let store = Store::open(folder.path()).await.expect("the folder is ours");
    let limits = FileLimits { file_bytes: 2 << 30, total_bytes: 20 << 30, ..LIMITS };
    let (files, owner) = (store.files(limits), somebody("a"));
    for _ in 0..100 {
        files.begin(&owner, csv(None)).await.expect("each holds a step");
    }
    for _ in 0..9 {
        files.begin(&owner, csv(Some(2 << 30))).await.expect("there is room");
    }
    let full = files.begin(&owner, csv(Some(2 << 30))).await.expect_err("all of it is held");
    assert!(matches!(full, UploadError::Full { .. }), "{full}");
    let later = Timestamp::now().checked_add(HOLDS_FOR + Duration::from_secs(1));
    files.sweep(later.expect("it is soon")).await.expect("there is a disk");
    for _ in 0..10 {
        files.begin(&owner, csv(Some(2 << 30))).await.expect("nothing came of the others");
    }
}

#[tokio::test]
async fn an_upload_of_no_size_ends_where_its_owners_room_does() {
    let folder = folder();
    let store = Store::open(folder.path()).await.expect("the folder is ours");
    let limits = FileLimits { file_bytes: 100 << 20, total_bytes: 40 << 20, ..LIMITS };
    let (files, owner) = (store.files(limits), somebody("a"));
    let upload = files.begin(&owner, csv(None)).await.expect("there is room");
    let mut receiving = coming(&files, &upload).await;
    let mebibyte = vec![b'x'; 1 << 20];
    let mut come = 0;
    let error = loop {
        match receiving.write(&mebibyte).await {
            Ok(()) => come += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, UploadError::Full { .. }), "{error}");
    assert!((16..=40).contains(&come), "{come} MiB");
}

#[tokio::test]
async fn files_are_seen_by_their_owner_alone_and_names_are_the_owners_own() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let (a, b) = (somebody("a"), somebody("b"));
    let named = || Announced { id: Some("mine".to_owned()), ..csv(None) };
    for owner in [&a, &b] {
        let upload = files.begin(owner, named()).await.expect("the name is free");
        let error = files.begin(owner, named()).await.expect_err("the name is taken");
        assert!(matches!(error, UploadError::Taken), "{error}");
        let mut receiving = coming(&files, &upload).await;
        receiving.write(owner.name().as_bytes()).await.expect("it is small");
        receiving.finish().await.expect("it is whole");
    }
    let only = sent(&files, &a, b"x").await;
    assert!(files.find(&b, &only.id).await.expect("it can be asked").is_none());
    assert!(!files.delete(&b, &only.id).await.expect("it can be asked"));
    let of_b = files.list(&b, "", 10).await.expect("it can be asked");
    assert_eq!(of_b.iter().map(|file| &*file.id).collect::<Vec<_>>(), ["mine"]);
    assert_eq!(files.content(&of_b[0]).await.expect("it is there"), "b");
    assert!(files.delete(&a, &only.id).await.expect("it is there"));
    assert!(files.find(&a, &only.id).await.expect("it can be asked").is_none());
}

#[tokio::test]
async fn a_sweep_takes_what_is_too_old_and_nothing_else() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let owner = somebody("a");
    let file = sent(&files, &owner, b"old").await;
    let upload = files.begin(&owner, csv(None)).await.expect("there is room");
    coming(&files, &upload).await.write(b"half").await.expect("it is small");
    std::fs::write(folder.path().join("uploads/of-the-dead"), "x").expect("the folder is ours");

    files.sweep(Timestamp::now()).await.expect("there is a disk");
    assert_eq!((in_folder(folder.path(), "uploads"), in_folder(folder.path(), "blobs")), (1, 1));
    let later = file.created.checked_add(UPLOAD_LIFETIME + Duration::from_secs(60));
    files.sweep(later.expect("it is soon")).await.expect("there is a disk");
    assert_eq!((in_folder(folder.path(), "uploads"), in_folder(folder.path(), "blobs")), (0, 1));
    assert!(matches!(files.progress(None, &upload).await, Err(UploadError::Unknown)));
    files.sweep(file.expires).await.expect("there is a disk");
    assert_eq!(in_folder(folder.path(), "blobs"), 0);
    assert!(files.find(&owner, &file.id).await.expect("it can be asked").is_none());
}

/// The sweep looks at a folder and at rows, and uploads may begin between the two.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_nothing_from_uploads_that_begin_beside_it() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    for _ in 0..60 {
        let uploads: Vec<_> = (0..40)
            .map(|number: u32| {
                let (files, owner) = (files.clone(), somebody(&number.to_string()));
                tokio::spawn(async move {
                    let upload = files.begin(&owner, csv(None)).await.expect("there is room");
                    coming(&files, &upload).await
                })
            })
            .collect();
        for _ in 0..5 {
            files.sweep(Timestamp::now()).await.expect("there is a disk");
        }
        let begun = futures_util::future::try_join_all(uploads).await.expect("nobody panicked");
        assert_eq!(in_folder(folder.path(), "uploads"), begun.len());
        for upload in begun {
            upload.cancel().await.expect("it is there");
        }
    }
}

#[tokio::test]
async fn what_is_too_old_is_gone_before_the_sweep() {
    let folder = folder();
    let store = Store::open(folder.path()).await.expect("the folder is ours");
    let files = store.files(FileLimits { lifetime: Duration::ZERO, ..LIMITS });
    let owner = somebody("a");
    let file = sent(&files, &owner, b"old").await;
    assert!(files.find(&owner, &file.id).await.expect("it can be asked").is_none());
    assert!(files.list(&owner, "", 10).await.expect("it can be asked").is_empty());
}

#[tokio::test]
async fn bytes_that_somebody_else_needs_stay() {
    let folder = folder();
    let (store, files) = open(folder.path()).await;
    let owner = somebody("a");
    let source = Source::Inline(Bytes::from_static(b"same"));
    let media = Media { kind: MediaKind::Document, mime_type: None, source };
    let head = Head {
        id: ids::Ids::random().interaction(),
        model: "m".into(),
        previous_interaction_id: None,
        input: vec![Step::UserInput(vec![Content::Media(media)])],
        resume_state: None,
        owner: owner.clone(),
    };
    let log = store.begin(head, Persistence::Stored, InteractionSettings::default());
    let end =
        crate::interaction::Event::Finished { status: Status::Completed, usage: Usage::default() };
    log.append(vec![end]).await.expect("it can be written");
    let (first, second) =
        (sent(&files, &owner, b"same").await, sent(&files, &owner, b"same").await);
    assert_eq!(in_folder(folder.path(), "blobs"), 1, "the same bytes are there once");
    let mut left = Vec::new();
    files.delete(&owner, &first.id).await.expect("it can be deleted");
    left.push(in_folder(folder.path(), "blobs"));
    store.delete(&owner, &log.head().id).await.expect("it can be deleted");
    left.push(in_folder(folder.path(), "blobs"));
    files.delete(&owner, &second.id).await.expect("it can be deleted");
    left.push(in_folder(folder.path(), "blobs"));
    assert_eq!(left, [1, 1, 0]);
}
