//! Interactions as streams.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use harness::golden::same;
use harness::{Event, TestServer, direct};

#[tokio::test]
async fn a_stream_matches_the_golden_exchange() {
    let golden = include_str!("../../golden/code_execution_stream.json");
    let golden: Value = serde_json::from_str(golden).expect("it is JSON");
    let server = TestServer::start(golden["scenarios"].as_str().expect("it is YAML")).await;
    let events = server.create_stream(golden["request"].clone()).await.rest().await;

    let mut names = HashMap::new();
    let wanted = golden["events"].as_array().expect("it is a list");
    for (at, (event, wanted)) in events.iter().zip(wanted).enumerate() {
        let mut data = event.data.clone();
        if event.name != "done" {
            assert_eq!(data["event_type"], event.name.as_str());
            let fields = data.as_object_mut().expect("it is one");
            assert_ne!(fields.remove("event_id"), None, "event {at} has no id");
            fields.remove("event_type");
            // Counts are not in the recordings, but the SDKs know them: see usage.rs.
            fields.remove("metadata");
            fields.remove("usage");
            fields.remove("step_usage");
        }
        assert_eq!(event.name, wanted[0], "event {at}");
        same(&data, &wanted[1], &mut names, &format!("event {at}"));
    }
    assert_eq!(events.len(), wanted.len());
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().filter(|event| event.name != "done").map(Event::id).collect()
}

#[tokio::test]
async fn a_stream_can_be_resumed_after_any_event() {
    let server = TestServer::start("").await;
    let events = server.create_stream(direct("print(1)")).await.rest().await;
    let id = events[0].data["interaction"]["id"].as_str().expect("it has one");
    assert_eq!(ids(&events).iter().collect::<HashSet<_>>().len(), events.len() - 1);

    assert_eq!(server.events(id, None).await, events);
    for (at, after) in ids(&events).into_iter().enumerate() {
        assert_eq!(server.events(id, Some(after)).await, events[at + 1..], "after event {at}");
    }
}

/// Readers share one copy of an interaction.
#[tokio::test]
async fn a_deleted_interaction_is_gone_for_new_readers() {
    let text = "x".repeat(2_000_000);
    let scenarios = format!("scenarios: [{{ name: a, script: [text: {text}] }}]");
    let server = TestServer::start(&scenarios).await;
    let answer = server.create(json!({"model": "m", "input": "?"})).await;
    let path = format!("/v1beta/interactions/{}", answer["id"].as_str().expect("it is stored"));
    let reader = server.request("GET", &format!("{path}?stream=true")).send().await;
    let reader = reader.expect("the server answers");
    assert_eq!(server.delete(&path).await.status, 200);
    assert_eq!(server.get(&path).await.status, 404);
    assert!(reader.text().await.expect("it ends").contains("interaction.completed"));
}

#[tokio::test]
async fn a_second_reader_may_join_while_it_runs() {
    let server = TestServer::start("").await;
    let code = "import time\ntime.sleep(0.5)\nprint(42)";
    let mut first = server.create_stream(direct(code)).await;
    let created = first.until("interaction.created").await;
    first.until("step.stop").await;
    let id = created.data["interaction"]["id"].as_str().expect("it has one");

    let (second, first) = tokio::join!(server.events(id, Some(created.id())), first.rest());
    assert_eq!(second[second.len() - first.len()..], first);
    assert_eq!(second[0].name, "interaction.status_update");
}

#[tokio::test]
async fn an_unknown_last_event_id_is_refused() {
    let server = TestServer::start("").await;
    let answer = server.create(direct("print(1)")).await;
    let path = format!("/v1/interactions/{}", answer["id"].as_str().expect("it was stored"));
    for query in [
        "stream=true&last_event_id=nonsense",
        "stream=true&last_event_id=v1_OTk5XzA",
        "stream=true&lastEventId=v1_MF85",
        "stream=false&last_event_id=v1_MF8w",
    ] {
        let reply = server.get(&format!("{path}?{query}")).await;
        assert_eq!(
            (reply.status, &reply.body["error"]["code"]),
            (400, &json!("invalid_request")),
            "{query}"
        );
    }
}

#[tokio::test]
async fn function_arguments_are_streamed_as_json_text() {
    let server = TestServer::start(
        "scenarios:\n  - name: f\n    script:\n      - function_call: { name: f, arguments: { a: 1 } }\n",
    )
    .await;
    let request = json!({"model": "m", "input": "?", "tools": [{"type": "function", "name": "f"}]});
    let events = server.create_stream(request).await.rest().await;
    let start = &events[2].data["step"];
    assert_eq!((&start["type"], &start["arguments"]), (&json!("function_call"), &json!({})));
    let arguments = events[3].data["delta"]["arguments"].as_str().expect("it is text");
    assert_eq!(serde_json::from_str::<Value>(arguments).expect("it is JSON"), json!({"a": 1}));
    assert_eq!(events[5].data["interaction"]["status"], "requires_action");
}
