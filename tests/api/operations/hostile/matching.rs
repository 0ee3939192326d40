//! Requests that are expensive to compare with scenarios.

use std::fs;

use harness::Program;
use serde_json::{Value, json};

use super::{Subject, peak_kib, while_healthy};

const INTERACTIONS: &str = "/v1beta/interactions";
/// Maximum memory of the server during these tests, in KiB.
const MAX_PEAK_KIB: u64 = 300 << 10;

fn scenarios(number: usize, when: &Value) -> Value {
    let scenarios = (0..number)
        .map(|n| json!({"name": n.to_string(), "when": when, "script": [{"text": "x"}]}));
    json!({"scenarios": scenarios.collect::<Vec<_>>()})
}

fn user(text: &str) -> Value {
    json!({"type": "user_input", "content": text})
}

fn call(n: usize) -> Value {
    json!({"type": "function_call", "id": n.to_string(), "name": "f", "arguments": {}, "signature": "c2ln"})
}

fn result(n: usize, result: &Value) -> Value {
    json!({"type": "function_result", "call_id": n.to_string(), "name": "f", "result": result})
}

/// Each scenario described the request, with names in full, and copied its settings.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_nearest_scenario_describes_a_request() {
    let long = "É".repeat(200_000);
    let mut named = result(0, &json!("r"));
    named["name"] = long.as_str().into();
    for (when, request) in [
        (json!({"earlier": ["zz"]}), json!({"input": [user("a"), call(0), named, user("b")]})),
        (
            json!({"generation_config": {}}),
            json!({"input": "?", "generation_config": {"stop_sequences": [long]}}),
        ),
        (
            json!({"system_instruction": {"contains": "z"}}),
            json!({"input": "?", "system_instruction": long}),
        ),
        (
            json!({"functions": {"g": "any"}}),
            json!({"input": "?", "tools": [{"type": "function", "name": "f", "description": "É".repeat(10_000)}]}),
        ),
    ] {
        let subject = Subject::start(&scenarios(2000, &when));
        let mut body = json!({"model": "m"});
        for (name, value) in request.as_object().expect("it is one") {
            body[name] = value.clone();
        }
        let reply = while_healthy(&subject, INTERACTIONS, body.to_string().into_bytes()).await;
        let body = reply.body.to_string();
        assert_eq!(reply.status, 400, "{when}: {body:.300}");
        assert!(reply.message().starts_with("No scenario matches"), "{:.300}", reply.message());
        subject.is_whole(MAX_PEAK_KIB);
    }
}

/// Up to 256 KiB of text were searched with 49 patterns on a thread that serves others.
#[tokio::test(flavor = "multi_thread")]
async fn patterns_search_texts_only_for_a_limited_time() {
    let slow =
        |n: usize| json!({"input": {"matches": format!("[ab]*a[ab]{{900}}b[ab]{{900}}c{n}")}});
    let of_slow = (0..10).map(|n| scenarios(1, &slow(n))["scenarios"][0].clone());
    let subject = Subject::start(&json!({"scenarios": of_slow.collect::<Vec<_>>()}));
    let ask = |bytes: usize| {
        json!({"model": "m", "input": "ab".repeat(bytes / 2)}).to_string().into_bytes()
    };
    // It finds that none matches, or that finding it takes too long. Then the reply may have begun.
    let reply = while_healthy(&subject, INTERACTIONS, ask(5000)).await;
    assert!(
        reply.status == 400 || reply.body["status"] == "failed",
        "{:.300}",
        reply.body.to_string()
    );

    let reply = while_healthy(&subject, INTERACTIONS, ask(2 << 20)).await;
    let wanted = "got a text of 2097152 bytes, of which this pattern may search 262144";
    assert!(reply.message().contains(wanted), "{:.600}", reply.message());
    subject.is_whole(MAX_PEAK_KIB);
}

/// Each function result prepared the whole conversation again.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_with_many_function_results_is_read_once() {
    let subject = Subject::start(&json!({"scenarios": [
        {"name": "begins", "script": [{"function_call": {"name": "f", "arguments": {}}}]},
        {"name": "goes on", "when": {"after": {"function_result": "f"}},
         "script": [{"function_call": {"name": "f", "arguments": {}}}]},
    ]}));
    let long = Value::from(json!(vec![0; 100_000]).to_string());
    let short = Value::from("r");
    let mut input = vec![user("go")];
    for n in 0..1000 {
        input.extend([call(n), result(n, if n == 0 { &long } else { &short })]);
    }
    let body = json!({"model": "m", "input": input, "tools": [{"type": "function", "name": "f"}]});
    let reply = while_healthy(&subject, INTERACTIONS, body.to_string().into_bytes()).await;
    assert_eq!(reply.status, 200, "{:.300}", reply.body.to_string());
    assert_eq!(reply.body["status"], "requires_action");
    subject.is_whole(MAX_PEAK_KIB);
}

/// A server that records compared on a thread that serves others, whatever the length.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_records_stays_healthy() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let folder = |name: &str, text: &str| {
        let folder = data.path().join(name);
        fs::create_dir(&folder).expect("the folder is the test's");
        fs::write(folder.join("test.yaml"), text).expect("the disk has space");
        folder.to_str().expect("it is text").to_owned()
    };
    let known = scenarios(1000, &json!({"system_instruction": {"equals": "z"}})).to_string();
    let answers = folder(
        "scenarios",
        &json!({"scenarios": [{"name": "x", "script": [{"text": "x"}]}]}).to_string(),
    );
    let recordings = folder("recordings", &known);
    let arguments = ["--scenarios", &answers, "--record", &recordings, "--record-mode", "new"];
    let server = Program::start(&data.path().join("data"), &arguments);
    let body = json!({"model": "m", "input": "?", "system_instruction": "É".repeat(400_000)});
    let reply = while_healthy(&server, INTERACTIONS, body.to_string().into_bytes()).await;
    assert_eq!(reply.status, 200, "{:.300}", reply.body.to_string());
    let peak = peak_kib(server.id());
    assert!(peak < MAX_PEAK_KIB, "{peak} KiB");
}

/// A shortened text kept the memory of the whole.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_keeps_only_the_beginning_of_a_text() {
    let subject = Subject::start(&json!({"scenarios": [{"name": "x", "script": [{"text": "x"}]}]}));
    let body = json!({"model": "m", "input": "y".repeat(8 << 20), "store": false});
    let body = body.to_string().into_bytes();
    for _ in 0..40 {
        let reply = while_healthy(&subject, INTERACTIONS, body.clone()).await;
        assert_eq!(reply.status, 200, "{:.300}", reply.body.to_string());
    }
    subject.is_whole(MAX_PEAK_KIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_keeps_of_small_requests_has_a_length() {
    let subject = Subject::start(&json!({"scenarios": [{"name": "x", "script": [{"text": "x"}]}]}));
    let long = "x".repeat(10_000);
    for (path, body, why) in [
        ("/x/faults", json!({"delay": "1s", "message": long}), "more than 4096 bytes"),
        (
            "/upload/v1beta/files",
            json!({"file": {"mimeType": format!("text/{long}")}}),
            "Unsupported MIME type",
        ),
        (
            INTERACTIONS,
            json!({"model": "m", "input": [{"type": "document", "data": "", "mime_type": format!("text/{long}")}]}),
            "is not a MIME type",
        ),
    ] {
        let request = subject.request("POST", path).header("x-goog-upload-protocol", "resumable");
        let request = request.header("x-goog-upload-command", "start");
        let reply = harness::Reply::to(request.json(&body)).await;
        assert_eq!(reply.status, 400, "{path}: {:.300}", reply.body);
        assert!(reply.body.to_string().contains(why), "{path}: {:.300}", reply.body);
    }
    // A multipart body in which no part ends.
    let request = subject.request("POST", "/upload/v1beta/files?uploadType=multipart");
    let request = request.header("content-type", "multipart/related; boundary=b");
    let reply = harness::Reply::to(request.body("x".repeat(1 << 20))).await;
    assert_eq!(reply.status, 400, "{:.300}", reply.body.to_string());
    assert!(reply.message().contains("no file began within 131072 bytes"), "{}", reply.body);
}
