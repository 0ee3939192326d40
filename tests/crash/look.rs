//! Checks that a restarted server still has everything it had acknowledged.

use serde_json::{Value, json};

use crate::load::{Acknowledged, Seen, UPLOAD_BYTES, Upload};
use harness::{Client, Event, Reply};

const DIED: &str = "The server stopped before this interaction ended.";

pub async fn after(server: &Client, acknowledged: &Acknowledged) {
    for answer in &acknowledged.answers {
        let found = get(server, id(answer)).await;
        assert_eq!(found["steps"][0]["type"], "user_input");
        let steps = found["steps"].as_array().expect("it has steps");
        assert_eq!(answer["steps"], json!(steps[1..]), "a response has changed");
        for field in ["status", "usage", "created", "updated", "model"] {
            assert_eq!(answer[field], found[field], "{field} has changed");
        }
    }
    for seen in &acknowledged.streams {
        stream(server, seen).await;
    }
    for id in &acknowledged.deleted {
        assert_eq!(server.get(&format!("/v1/interactions/{id}")).await.status, 404, "{id} is back");
    }
    for file in &acknowledged.files {
        let name = file["name"].as_str().expect("it has one");
        let found = server.get(&format!("/v1beta/{name}")).await.body;
        // The server has another port each time, and a file's URL contains it.
        for field in ["name", "displayName", "mimeType", "sizeBytes", "sha256Hash", "createTime"] {
            assert_eq!(file[field], found[field], "{field} of a file has changed");
        }
    }
    for upload in &acknowledged.uploads {
        resumes(server, upload).await;
    }
}

fn id(answer: &Value) -> &str {
    answer["id"].as_str().expect("it has one")
}

async fn get(server: &Client, id: &str) -> Value {
    let reply = server.get(&format!("/v1/interactions/{id}")).await;
    assert_eq!(reply.status, 200, "{id} is lost: {}", reply.body);
    reply.body
}

/// All received events are present in the same position, and the stream ends.
async fn stream(server: &Client, seen: &Seen) {
    let events = server.events(&seen.id, None).await;
    assert_eq!(events[..seen.events.len()], seen.events, "received events have changed");
    let mut ids: Vec<&str> = events.iter().map(Event::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len(), "an id occurs twice");
    let last_seen = seen.events.last().expect("there is a first").id();
    let rest = if seen.events.last().is_some_and(|event| event.name == "done") {
        Vec::new()
    } else {
        server.events(&seen.id, Some(last_seen)).await
    };
    assert_eq!(events[seen.events.len()..], rest, "resuming gives other events");

    let found = get(server, &seen.id).await;
    let well = events.last().is_some_and(|event| event.name == "done");
    if well {
        assert_eq!(found["status"], "completed", "{found}");
        assert_eq!(started(&events), stopped(&events), "a step is incomplete");
        let steps = found["steps"].as_array().expect("it has steps");
        let types: Vec<&str> = steps.iter().filter_map(|step| step["type"].as_str()).collect();
        assert_eq!(types, WHOLE, "{found}");
        let text = &steps[8]["content"][0]["text"];
        let wanted = "It is 42, and that took a while to say in so many words.";
        assert_eq!(text, wanted, "{found}");
    } else {
        assert!(!seen.background, "a background interaction did not continue: {found}");
        assert_eq!(found["status"], "failed", "{found}");
        assert_eq!(found["errors"][0]["message"], DIED);
        assert!(started(&events) - stopped(&events) <= 1, "more than one step is incomplete");
    }
    let steps = found["steps"].as_array().expect("it has steps");
    for pair in steps.windows(2) {
        if pair[0]["type"] == "code_execution_call" {
            assert_eq!(pair[1]["call_id"], pair[0]["id"], "a result without its call");
        }
    }
}

const WHOLE: [&str; 9] = [
    "user_input",
    "thought",
    "code_execution_call",
    "code_execution_result",
    "model_output", // the image
    "model_output",
    "code_execution_call",
    "code_execution_result",
    "model_output",
];

fn started(events: &[Event]) -> usize {
    events.iter().filter(|event| event.name == "step.start").count()
}

fn stopped(events: &[Event]) -> usize {
    events.iter().filter(|event| event.name == "step.stop").count()
}

/// Queries the state of an upload, and completes it.
async fn resumes(server: &Client, upload: &Upload) {
    let query = server.request("POST", &upload.path).header("x-goog-upload-command", "query");
    let reply = Reply::to(query).await;
    assert_eq!(reply.status, 200, "an upload is lost: {}", reply.body);
    if reply.headers["x-goog-upload-status"] == "final" {
        return; // its last response was lost when the server died
    }
    let received = reply.headers["x-goog-upload-size-received"].to_str().expect("it is text");
    let received: usize = received.parse().expect("it is a number");
    assert!(received >= upload.taken, "{received} of {} bytes are stored", upload.taken);
    let request = server
        .request("POST", &upload.path)
        .header("x-goog-upload-command", "upload, finalize")
        .header("x-goog-upload-offset", received)
        .body(vec![b'a'; UPLOAD_BYTES - received]);
    let reply = Reply::to(request).await;
    assert_eq!(reply.body["file"]["sizeBytes"], UPLOAD_BYTES.to_string(), "{}", reply.body);
}
