//! The limit of one owner's batches.

use super::*;
use crate::Store;

fn batch(id: &str, bytes: u64) -> StoredBatch {
    let now = crate::now();
    StoredBatch {
        id: id.to_owned(),
        owner: Owner::default(),
        namespace: String::new(),
        model: "m".to_owned(),
        method: BatchMethod::GenerateContent,
        display_name: String::new(),
        is_file: false,
        state: BatchState::Pending,
        created: now,
        updated: now,
        ended: None,
        requests: 2,
        succeeded: 0,
        failed: 0,
        request_bytes: bytes,
        response_bytes: 0,
    }
}

fn lines() -> Vec<BatchLine> {
    vec![BatchLine { key: None, request: "{}".to_owned(), response: None }; 2]
}

#[tokio::test]
async fn a_result_beyond_the_limit_of_its_owner_is_not_stored() {
    let folder = tempfile::tempdir().expect("temporary files can be created");
    let store = Store::open(folder.path()).await.expect("the folder is ours");
    let batches = store.batches();
    for (id, bytes) in [("large", MAX_BATCH_BYTES - 4000), ("small", 1000)] {
        assert!(batches.create(batch(id, bytes), lines()).await.expect("it is stored"));
    }
    assert!(!batches.create(batch("more", 3001), lines()).await.expect("it is counted"));
    batches.begin("small", crate::now()).await.expect("it begins");
    let finish = |line, bytes| {
        let response: Arc<str> = "x".repeat(bytes).into();
        batches.finish("small", line, response, false, crate::now())
    };
    assert!(finish(0, 2000).await.expect("it is counted"), "it fits");
    assert!(!finish(1, 2000).await.expect("it is counted"), "1000 bytes are left");
    assert_eq!(batches.result("small", 1).await.expect("it is read"), None);
    assert!(finish(1, ERROR_BYTES).await.expect("it is counted"), "an error is short");
    assert!(finish(1, ERROR_BYTES).await.expect("it is counted"), "also where none is left");
    assert_eq!(batches.result_bytes("small", 0).await.expect("it is read"), Some(2000));
}
