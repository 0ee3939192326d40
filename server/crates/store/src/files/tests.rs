//! Tests of uploaded files, with a real folder.

use std::path::Path;

use super::*;
use crate::{Head, Owner, Persistence, Store};
use domain::interaction::{
    Content, InteractionSettings, Media, MediaKind, Source, Status, Step, Usage,
};

const LIMITS: FileLimits =
    FileLimits { file_bytes: 100, total_bytes: 150, lifetime: Duration::from_secs(48 * 60 * 60) };

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary files can be created")
}

async fn open(folder: &Path) -> (Store, Files) {
    let store = Store::open(folder).await.expect("the folder is ours");
    let files = store.files(LIMITS);
    (store, files)
}

fn tenant(name: &str) -> Owner {
    Owner::named(name.to_owned())
}

fn csv(bytes: Option<u64>) -> Announced {
    Announced { id: None, display_name: None, mime_type: "text/csv".to_owned(), bytes }
}

async fn open_upload(files: &Files, upload: &str) -> Receiving {
    match files.progress(None, upload).await.expect("it was begun") {
        UploadState::Receiving(receiving) => receiving,
        UploadState::Done(_, file) => panic!("it is complete: {file:?}"),
    }
}

async fn uploaded(files: &Files, owner: &Owner, content: &[u8]) -> StoredFile {
    let upload = files.begin(owner, csv(None)).await.expect("there is room");
    let mut receiving = open_upload(files, &upload).await;
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
async fn the_received_bytes_of_an_upload_survive_a_restart() {
    let folder = folder();
    let (store, files) = open(folder.path()).await;
    let upload = files.begin(&tenant("a"), csv(Some(6))).await.expect("there is room");
    let mut receiving = open_upload(&files, &upload).await;
    receiving.write(b"a,b\n").await.expect("it is small");
    receiving.flush().await.expect("there is a disk");
    drop(receiving);
    store.close().await;
    drop((store, files));

    let (_store, files) = open(folder.path()).await;
    files.sweep(Timestamp::now()).await.expect("there is a disk");
    let mut receiving = open_upload(&files, &upload).await;
    assert_eq!(receiving.received(), 4);
    receiving.resume_at(4).await.expect("there is no gap");
    receiving.write(b"1,").await.expect("it is small");
    let file = receiving.finish().await.expect("it is whole");
    assert_eq!(files.content(&file).await.expect("it is there"), "a,b\n1,");
    assert_eq!(in_folder(folder.path(), "uploads"), 0);
    let UploadState::Done(_, again) = files.progress(None, &upload).await.expect("it is known")
    else {
        panic!("it has not ended");
    };
    assert_eq!(again, file);
}

#[tokio::test]
async fn a_client_may_send_bytes_again_but_not_leave_a_gap() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let upload = files.begin(&tenant("a"), csv(None)).await.expect("there is room");
    let mut receiving = open_upload(&files, &upload).await;
    receiving.write(b"abcdef").await.expect("it is small");
    let gap = receiving.resume_at(7).await.expect_err("a byte is missing");
    assert!(matches!(gap, UploadError::Gap { offset: 7, received: 6 }), "{gap}");
    receiving.resume_at(2).await.expect("there is no gap");
    receiving.write(b"X").await.expect("it is small");
    let file = receiving.finish().await.expect("it is whole");
    assert_eq!(files.content(&file).await.expect("it is there"), "abX");
}

#[tokio::test]
async fn two_requests_cannot_write_to_one_upload() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let upload = files.begin(&tenant("a"), csv(None)).await.expect("there is room");
    let first = open_upload(&files, &upload).await;
    let second = files.progress(None, &upload).await.expect_err("both have it");
    assert!(matches!(second, UploadError::Busy), "{second}");
    drop(first);
    open_upload(&files, &upload).await;
}

#[tokio::test]
async fn an_upload_that_differs_from_its_announced_size_is_rejected() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    for content in [b"abc".as_slice(), b"abcde"] {
        let upload = files.begin(&tenant("a"), csv(Some(4))).await.expect("there is room");
        let mut receiving = open_upload(&files, &upload).await;
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
    let owner = tenant("a");
    let error = files.begin(&owner, csv(Some(101))).await.expect_err("it is too large");
    assert!(matches!(error, UploadError::TooLarge(100)), "{error}");
    let upload = files.begin(&owner, csv(None)).await.expect("its size is unknown");
    let mut receiving = open_upload(&files, &upload).await;
    receiving.write(&[b'x'; 100]).await.expect("it is as large as it may be");
    assert!(matches!(receiving.write(b"x").await, Err(UploadError::TooLarge(100))));
    receiving.finish().await.expect("the received bytes are a file");

    files.begin(&owner, csv(None)).await.expect_err("it may be larger than the room that is left");
    files.begin(&owner, csv(Some(50))).await.expect("there is just room for it");
    let error = files.begin(&owner, csv(Some(1))).await.expect_err("there is no room");
    assert!(matches!(error, UploadError::Full { total_bytes: 150 }), "{error}");
    files.begin(&tenant("b"), csv(Some(100))).await.expect("others have room of their own");
}

#[tokio::test]
async fn an_upload_without_new_bytes_reserves_no_quota() {
    let folder = folder();
    let store = Store::open(folder.path()).await.expect("the folder is ours");
    let limits = FileLimits { file_bytes: 2 << 30, total_bytes: 20 << 30, ..LIMITS };
    let (files, owner) = (store.files(limits), tenant("a"));
    for _ in 0..100 {
        files.begin(&owner, csv(None)).await.expect("each holds a step");
    }
    for _ in 0..9 {
        files.begin(&owner, csv(Some(2 << 30))).await.expect("there is room");
    }
    let full = files.begin(&owner, csv(Some(2 << 30))).await.expect_err("all of it is held");
    assert!(matches!(full, UploadError::Full { .. }), "{full}");
    let later = Timestamp::now().checked_add(RESERVED_FOR + Duration::from_secs(1));
    files.sweep(later.expect("it is soon")).await.expect("there is a disk");
    for _ in 0..10 {
        files.begin(&owner, csv(Some(2 << 30))).await.expect("the others received nothing");
    }
}

#[tokio::test]
async fn an_upload_of_unknown_size_ends_at_its_owners_quota() {
    let folder = folder();
    let store = Store::open(folder.path()).await.expect("the folder is ours");
    let limits = FileLimits { file_bytes: 100 << 20, total_bytes: 40 << 20, ..LIMITS };
    let (files, owner) = (store.files(limits), tenant("a"));
    let upload = files.begin(&owner, csv(None)).await.expect("there is room");
    let mut receiving = open_upload(&files, &upload).await;
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
async fn files_are_visible_only_to_their_owner_and_names_are_separate_for_each_owner() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let (a, b) = (tenant("a"), tenant("b"));
    let named = || Announced { id: Some("mine".to_owned()), ..csv(None) };
    for owner in [&a, &b] {
        let upload = files.begin(owner, named()).await.expect("the name is free");
        let error = files.begin(owner, named()).await.expect_err("the name is taken");
        assert!(matches!(error, UploadError::Taken), "{error}");
        let mut receiving = open_upload(&files, &upload).await;
        receiving.write(owner.name().as_bytes()).await.expect("it is small");
        receiving.finish().await.expect("it is whole");
    }
    let only = uploaded(&files, &a, b"x").await;
    assert!(files.find(&b, &only.id).await.expect("it can be asked").is_none());
    assert!(!files.delete(&b, &only.id).await.expect("it can be asked"));
    let of_b = files.list(&b, "", 10).await.expect("it can be asked");
    assert_eq!(of_b.iter().map(|file| &*file.id).collect::<Vec<_>>(), ["mine"]);
    assert_eq!(files.content(&of_b[0]).await.expect("it is there"), "b");
    assert!(files.delete(&a, &only.id).await.expect("it is there"));
    assert!(files.find(&a, &only.id).await.expect("it can be asked").is_none());
}

#[tokio::test]
async fn a_sweep_deletes_only_expired_files_and_uploads() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    let owner = tenant("a");
    let file = uploaded(&files, &owner, b"old").await;
    let upload = files.begin(&owner, csv(None)).await.expect("there is room");
    open_upload(&files, &upload).await.write(b"half").await.expect("it is small");
    std::fs::write(folder.path().join("uploads/left-over"), "x").expect("the folder is ours");

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

/// The sweep reads the folder and then the rows, and uploads may begin between the two.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_keeps_uploads_that_begin_at_the_same_time() {
    let folder = folder();
    let (_store, files) = open(folder.path()).await;
    for _ in 0..60 {
        let uploads: Vec<_> = (0..40)
            .map(|number: u32| {
                let (files, owner) = (files.clone(), tenant(&number.to_string()));
                tokio::spawn(async move {
                    let upload = files.begin(&owner, csv(None)).await.expect("there is room");
                    open_upload(&files, &upload).await
                })
            })
            .collect();
        for _ in 0..5 {
            files.sweep(Timestamp::now()).await.expect("there is a disk");
        }
        let begun = futures_util::future::try_join_all(uploads).await.expect("no task panicked");
        assert_eq!(in_folder(folder.path(), "uploads"), begun.len());
        for upload in begun {
            upload.cancel().await.expect("it is there");
        }
    }
}

#[tokio::test]
async fn an_expired_file_is_not_found_before_the_sweep() {
    let folder = folder();
    let store = Store::open(folder.path()).await.expect("the folder is ours");
    let files = store.files(FileLimits { lifetime: Duration::ZERO, ..LIMITS });
    let owner = tenant("a");
    let file = uploaded(&files, &owner, b"old").await;
    assert!(files.find(&owner, &file.id).await.expect("it can be asked").is_none());
    assert!(files.list(&owner, "", 10).await.expect("it can be asked").is_empty());
}

#[tokio::test]
async fn a_blob_is_kept_while_a_file_or_an_interaction_refers_to_it() {
    let folder = folder();
    let (store, files) = open(folder.path()).await;
    let owner = tenant("a");
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
        domain::interaction::Event::Finished { status: Status::Completed, usage: Usage::default() };
    log.append(vec![end]).await.expect("it can be written");
    let (first, second) =
        (uploaded(&files, &owner, b"same").await, uploaded(&files, &owner, b"same").await);
    assert_eq!(in_folder(folder.path(), "blobs"), 1, "equal content is stored once");
    let mut left = Vec::new();
    files.delete(&owner, &first.id).await.expect("it can be deleted");
    left.push(in_folder(folder.path(), "blobs"));
    store.delete(&owner, &log.head().id).await.expect("it can be deleted");
    left.push(in_folder(folder.path(), "blobs"));
    files.delete(&owner, &second.id).await.expect("it can be deleted");
    left.push(in_folder(folder.path(), "blobs"));
    assert_eq!(left, [1, 1, 0]);
}
