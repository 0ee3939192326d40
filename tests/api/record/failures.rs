//! Failures are recorded too; incomplete answers are not.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{Folder, INTERACTIONS, ask, transcript};
use crate::fake::{Act, Answer, Fake, code, data, delta, status, text};
use harness::{Reply, TestServer};

async fn asked(server: &TestServer) -> Reply {
    server.post(INTERACTIONS, &ask("?")).await
}

#[tokio::test]
async fn a_recorded_failure_is_replayed() {
    let end = |finish: &str| data(&json!({"choices": [{"delta": {}, "finish_reason": finish}]}));
    let begin = || delta(json!({"content": "Well, "}));
    for (answers, wanted) in [
        (vec![Answer::Whole(429, ("retry-after", "60"), "slow down".into())], "status: 429"),
        (vec![status(400, "no such {{ parameter }}")], "status: 400"),
        (vec![status(401, "Incorrect API key provided: sk-geheim")], "status: 503"),
        (vec![Answer::Stream(vec![Act::Send("data: nonsense\n\n".into())])], "status: 503"),
        (vec![Answer::Stream(vec![begin(), Act::Cut])], "told: true"),
        (vec![Answer::Stream(vec![begin(), Act::Hang])], "told: true"),
        (vec![code("print(6 * 7)"), Answer::Stream(vec![])], "told: true"),
        (vec![code("1 / 0"), text("It cannot be.")], "is_error: true"),
        (vec![Answer::Stream(vec![begin(), end("length")])], "finish: MAX_TOKENS"),
        (vec![Answer::Stream(vec![begin(), end("content_filter")])], "finish: SAFETY"),
        (vec![Answer::Stream(vec![end("stop")])], "finish: STOP"),
        (vec![Answer::Stream(vec![Act::Repeat(Bytes::from(vec![b'x'; 1 << 20]))])], "status: 503"),
    ] {
        let what = format!("{answers:?}").chars().take(200).collect::<String>();
        let folder = Folder::new();
        let fake = Fake::start(answers).await;
        let server = folder.recording(fake.model()).await;
        let recorded = asked(&server).await;
        let file = folder.text();
        assert!(file.contains(wanted), "{what}: {file}");
        assert!(!file.contains("geheim"), "{file}");
        let replayed = asked(&folder.replaying().await).await;
        assert_eq!(replayed.status, recorded.status, "{what}: {file}");
        assert_eq!(replayed.headers.get("retry-after"), recorded.headers.get("retry-after"));
        if recorded.status == 200 {
            assert_eq!(transcript(&replayed.body), transcript(&recorded.body), "{what}");
        } else {
            assert_eq!(replayed.body, recorded.body, "{what}");
        }
    }
}

#[tokio::test]
async fn a_retried_request_is_replayed_without_its_failure() {
    let folder = Folder::new();
    let busy = Answer::Whole(429, ("retry-after", "60"), "slow down".into());
    let fake = Fake::start([busy, text("Here.")]).await;
    let server = folder.recording(fake.model()).await;
    assert_eq!((asked(&server).await.status, asked(&server).await.status), (429, 200));
    assert_eq!(folder.files().len(), 2);
    assert_eq!(asked(&folder.replaying().await).await.status, 200);
}

#[tokio::test]
async fn repeated_failing_code_is_replayed_the_same() {
    let folder = Folder::new();
    let fake = Fake::start(vec![code("1 / 0"); 7]).await;
    let recorded = folder.recording(fake.model()).await.create(ask("?")).await;
    let replayed = folder.replaying().await.create(ask("?")).await;
    assert_eq!(transcript(&replayed)["steps"], transcript(&recorded)["steps"]);
    assert_eq!(folder.text().matches("is_error: true").count(), 6);
}

#[tokio::test]
async fn a_cancelled_interaction_is_not_recorded() {
    let folder = Folder::new();
    let fake =
        Fake::start([Answer::Stream(vec![delta(json!({"content": "Once "})), Act::Hang])]).await;
    let server = folder.recording(fake.model()).await;
    let mut stream = server.create_stream(ask("A story?")).await;
    let created = stream.until("interaction.created").await;
    stream.until("step.delta").await;
    drop(stream);
    let id = created.data["interaction"]["id"].as_str().expect("it has one").to_owned();
    // The end of the interaction is stored after its recording.
    let events = server.events(&id, None).await;
    let end: &Value = &events.last().expect("there is one").data;
    assert_eq!(
        events.iter().filter(|event| event.name == "interaction.completed").count(),
        1,
        "{end}"
    );
    let left: Vec<_> = folder.path().read_dir().expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}
