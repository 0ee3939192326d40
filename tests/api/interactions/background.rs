//! Interactions in the background, and cancelling interactions of either kind.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::interval;

use harness::{Event, Program, Reply, Stream, TestServer, Warden, below, direct};

fn in_background(mut request: Value) -> Value {
    request["background"] = true.into();
    request
}

fn path(interaction: &Value) -> String {
    format!("/v1beta/interactions/{}", interaction["id"].as_str().expect("it has one"))
}

fn id(interaction: &Value) -> &str {
    interaction["id"].as_str().expect("it has one")
}

#[tokio::test]
async fn a_background_interaction_returns_at_once_and_can_be_polled() {
    let server = TestServer::start("").await;
    let code = "import time\ntime.sleep(0.3)\nprint(42)";
    let begun = server.create(in_background(direct(code))).await;
    let names: Vec<_> = begun.as_object().expect("it is one").keys().collect();
    assert_eq!(names, ["id", "status", "created", "updated", "service_tier", "object", "model"]);
    assert_eq!(begun["status"], "in_progress");

    let found = server.get(&path(&begun)).await.body;
    assert_eq!((&found["status"], found.get("usage")), (&json!("in_progress"), None));
    assert_eq!(found["steps"][0]["type"], "user_input");

    let events = server.events(id(&begun), None).await;
    assert_eq!(events.last().expect("there are some").name, "done");
    let found = server.get(&path(&begun)).await.body;
    assert_eq!(found["status"], "completed");
    assert_eq!(found["steps"][2]["result"], "42\n");
    assert!(found["usage"]["total_tokens"].as_u64() > Some(0));
}

#[tokio::test]
async fn a_background_interaction_continues_after_its_client_disconnects() {
    let server = TestServer::start("").await;
    let code = "import time\ntime.sleep(0.3)\nprint(42)";
    let mut stream = server.create_stream(in_background(direct(code))).await;
    let created = stream.until("interaction.created").await;
    stream.until("step.stop").await;
    drop(stream);

    let interaction = &created.data["interaction"];
    let events = server.events(id(interaction), Some(created.id())).await;
    assert_eq!(events[0].name, "interaction.status_update");
    assert_eq!(server.get(&path(interaction)).await.body["status"], "completed");
}

#[tokio::test]
async fn background_without_store_is_refused() {
    let server = TestServer::start("").await;
    let mut request = in_background(direct("print(1)"));
    request["store"] = false.into();
    let reply = server.post("/v1/interactions", &request).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("invalid_request")));
    assert!(reply.message().contains("'store'"), "{}", reply.message());

    // An invalid request fails when it is created, not when it is polled.
    let mut request = in_background(direct("?"));
    request["model"] = "missing".into();
    assert_eq!(server.post("/v1/interactions", &request).await.status, 400);
}

#[tokio::test]
async fn each_key_may_have_a_thousand_background_interactions() {
    const SLOW: &str = "scenarios: [{name: slow, script: [{delay: 600s}, {text: done}]}]";
    let server = TestServer::builder().scenarios(SLOW).keys(&["one", "other"]).start().await;
    let begin = |key: &'static str| {
        let body = json!({"model": "m", "input": "?", "background": true});
        let request = server.request("POST", "/v1/interactions").json(&body);
        Reply::to(request.header("x-goog-api-key", key))
    };
    let mut begun = Vec::new();
    for _ in 0..20 {
        begun.extend(futures_util::future::join_all((0..50).map(|_| begin("one"))).await);
    }
    let refused: Vec<_> = begun.iter().filter(|reply| reply.status != 200).collect();
    assert!(refused.is_empty(), "{refused:?}");
    let over = begin("one").await;
    assert_eq!((over.status, &over.body["error"]["code"]), (429, &json!("resource_exhausted")));
    assert!(over.message().contains("1000 interactions"), "{}", over.message());
    assert_eq!(begin("other").await.status, 200);

    let cancel = format!("{}/cancel", path(&begun[0].body));
    let request = server.request("POST", &cancel).header("x-goog-api-key", "one").json(&json!({}));
    assert_eq!(Reply::to(request).await.body["status"], "cancelled");
    // The slot is free a moment after the end is reported.
    let mut looks = interval(Duration::from_millis(10));
    while begin("one").await.status != 200 {
        looks.tick().await;
    }
}

#[tokio::test]
async fn both_spellings_cancel_a_running_interaction() {
    let server = TestServer::start("").await;
    for (way, body) in [("/cancel", None), (":cancel", Some(json!({})))] {
        let begun = server.create(in_background(direct("while True: pass"))).await;
        let cancel = || {
            let request = server.request("POST", &format!("{}{way}", path(&begun)));
            match &body {
                Some(body) => request.json(body),
                None => request.header("content-length", 0),
            }
        };
        let reply = Reply::to(cancel()).await;
        assert_eq!(reply.status, 200, "{way}: {}", reply.body);
        assert_eq!(reply.body["status"], "cancelled", "{way}");
        assert_eq!(reply.body["steps"][0]["type"], "user_input", "{way}");
        // A completed interaction stays as it is.
        assert_eq!(Reply::to(cancel()).await.body, reply.body, "{way}");
        assert_eq!(server.get(&path(&begun)).await.body, reply.body, "{way}");
        let events = server.events(id(&begun), None).await;
        let last = &events[events.len() - 2];
        assert_eq!(last.name, "interaction.completed");
        assert_eq!(last.data["interaction"]["status"], "cancelled");
    }
}

#[tokio::test]
async fn a_completed_interaction_cannot_be_cancelled() {
    let server = TestServer::start("").await;
    let done = server.create(direct("print(1)")).await;
    let found = server.get(&path(&done)).await.body;
    let reply = server.post(&format!("{}/cancel", path(&done)), &json!({})).await;
    assert_eq!((reply.status, reply.body), (200, found));
}

#[tokio::test]
async fn another_client_may_cancel_an_interaction_in_the_foreground() {
    let server = TestServer::start("").await;
    let mut stream = server.create_stream(direct("while True: pass")).await;
    let created = stream.until("interaction.created").await;
    let path = path(&created.data["interaction"]);
    let reply = server.post(&format!("{path}:cancel"), &json!({})).await;
    assert_eq!(reply.body["status"], "cancelled");
    let events = stream.rest().await;
    assert_eq!(events[events.len() - 2].data["interaction"]["status"], "cancelled");
}

#[tokio::test]
async fn only_existing_interactions_can_be_cancelled_and_only_by_post() {
    let server = TestServer::start("").await;
    let done = path(&server.create(direct("print(1)")).await);
    for (method, path, status) in [
        ("POST", "/v1/interactions/nonsense/cancel".to_owned(), 400),
        ("POST", "/v1/interactions/nonsense:cancel".to_owned(), 400),
        ("POST", "/v1/interactions/v1_unknown/cancel".to_owned(), 404),
        ("POST", "/v1/interactions/v1_unknown:cancel".to_owned(), 404),
        ("POST", format!("{done}:pause"), 405),
        ("POST", done.clone(), 405),
        ("GET", format!("{done}/cancel"), 405),
    ] {
        let reply = Reply::to(server.request(method, &path)).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        assert!(reply.body["error"]["code"].is_string(), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_deleted_interaction_is_stopped() {
    let server = TestServer::start("").await;
    let begun = server.create(in_background(direct("while True: pass"))).await;
    let mut reader =
        Stream::of(server.request("GET", &format!("{}?stream=true", path(&begun)))).await;
    reader.until("step.stop").await;
    assert_eq!(server.delete(&path(&begun)).await.status, 200);
    let events = reader.rest().await;
    assert_eq!(events[events.len() - 2].data["interaction"]["status"], "cancelled");
    assert_eq!(server.get(&path(&begun)).await.status, 404);
}

/// [K07]
#[tokio::test]
async fn code_of_a_cancelled_interaction_is_killed_within_a_second() {
    let warden = Warden::start(&[]);
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let server = Program::start_on(data.path(), &warden.socket());
    let before = ticks(warden.id());
    let begun = server.create(in_background(direct("while True: pass"))).await;
    // The process table sends no events.
    let mut looks = interval(Duration::from_millis(20));
    let busy = loop {
        looks.tick().await;
        let used = |(process, ticks): &(i32, u64)| ticks - before.get(process).unwrap_or(&0) > 20;
        if let Some((process, _)) = ticks(warden.id()).into_iter().find(used) {
            break process;
        }
    };
    server.post(&format!("{}/cancel", path(&begun)), &json!({})).await;
    let killed = async {
        while ticks(warden.id()).contains_key(&busy) {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), killed).await.expect("it is killed in time");
}

/// Processor time of all descendants of a process.
fn ticks(root: u32) -> HashMap<i32, u64> {
    let ticks = |process: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let lives = !matches!(fields[0], "Z" | "X");
        lives.then(|| Some((process, fields[11].parse().ok()?)))?
    };
    below(root).into_iter().filter_map(ticks).collect()
}

const LONG: &str = r#"
scenarios:
  - name: long
    script:
      - pace: 5ms
      - thought: I had better count to a hundred, slowly and aloud, in many pieces.
      - code: print(sum(range(101)))
      - text: "It is {{ stdout | trim }}. One could have known that: Gauss did, as a child, in his head."
"#;

/// Cuts the stream after every third event, and resumes after the last event received.
#[tokio::test]
async fn resuming_a_stream_neither_loses_nor_repeats_events() {
    let server = TestServer::start(LONG).await;
    let mut request = in_background(direct("?"));
    request["model"] = "m".into();
    let begun = server.create(request).await;
    let mut events: Vec<Event> = Vec::new();
    let mut cuts = 0;
    while events.last().is_none_or(|event| event.name != "done") {
        let after = events.last().map(|event| format!("&last_event_id={}", event.id()));
        let path = format!("{}?stream=true{}", path(&begun), after.unwrap_or_default());
        let request = server.request("GET", &path);
        let cut = request.header("x-belljar-fault", r#"{"drop_after_events": 3}"#);
        let mut stream = Stream::of(cut).await;
        while let Some(event) = stream.next_or_cut().await {
            events.push(event);
        }
        cuts += 1;
    }
    assert!(cuts > 3, "it was cut {cuts} times");
    assert_eq!(events, server.events(id(&begun), None).await);
}
