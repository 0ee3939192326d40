//! Faults requested by a header, or for the whole server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use harness::{Reply, TestServer, direct};

const INTERACTIONS: &str = "/v1beta/interactions";

fn request(server: &TestServer, fault: &Value, stream: bool) -> reqwest::RequestBuilder {
    let mut body = direct("print(6 * 7)");
    body["stream"] = stream.into();
    server.request("POST", INTERACTIONS).header("x-belljar-fault", fault.to_string()).json(&body)
}

/// The bytes of a stream, and whether it was cut.
async fn stream(server: &TestServer, fault: Value) -> (String, bool) {
    let mut response = request(server, &fault, true).send().await.expect("it begins");
    let mut seen = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
            end => return (String::from_utf8(seen).expect("it is ASCII"), end.is_err()),
        }
    }
}

#[tokio::test]
async fn a_fault_applies_the_requested_number_of_times() {
    let server = TestServer::start("").await;
    let fault = json!({"status": 429, "message": "Slow down.", "retry_after": "2s", "times": 2});
    for _ in 0..2 {
        let reply = Reply::to(request(&server, &fault, false)).await;
        assert_eq!((reply.status, reply.message()), (429, "Slow down."));
        assert_eq!(reply.headers["retry-after"], "2");
    }
    let reply = Reply::to(request(&server, &fault, false)).await;
    assert_eq!(reply.body["steps"][1]["result"], "42\n");
    assert_eq!(server.get("/x/journal").await.body["entries"][0]["number"], 1, "nothing was run");

    server.post("/x/reset", &Value::Null).await;
    assert_eq!(
        Reply::to(request(&server, &fault, false)).await.status,
        429,
        "the count starts again"
    );
}

#[tokio::test]
async fn a_seed_gives_the_same_random_faults_in_every_namespace() {
    let server = TestServer::start("").await;
    let fault = json!({"status": 503, "chance": 0.5, "seed": 3});
    let mut drawn = Vec::new();
    for namespace in ["a", "b"] {
        let mut statuses = Vec::new();
        for _ in 0..12 {
            let request = request(&server, &fault, false).header("x-belljar-namespace", namespace);
            statuses.push(Reply::to(request).await.status);
        }
        assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
        drawn.push(statuses);
    }
    assert_eq!(drawn[0], drawn[1]);
}

#[tokio::test]
async fn a_stream_is_cut_after_events_or_bytes() {
    let server = TestServer::start("").await;
    let (whole, was_cut) = stream(&server, json!({})).await;
    assert!(!was_cut && whole.ends_with("data: [DONE]\n\n"), "{whole}");

    let (seen, was_cut) = stream(&server, json!({"drop_after_events": 3})).await;
    assert_eq!((was_cut, seen.matches("\n\n").count()), (true, 3), "{seen}");
    let (seen, was_cut) = stream(&server, json!({"drop_after_bytes": 100})).await;
    assert_eq!((was_cut, seen.len()), (true, 100), "{seen}");

    let fault = json!({"drop_after_bytes": 10});
    let response = request(&server, &fault, false).send().await.expect("it begins");
    assert!(response.bytes().await.is_err(), "an answer as a whole is cut too");
}

#[tokio::test]
async fn only_the_requested_event_is_malformed() {
    let server = TestServer::start("").await;
    let (seen, was_cut) = stream(&server, json!({"malformed_event": 2})).await;
    assert!(!was_cut);
    let broken: Vec<usize> = seen
        .split_terminator("\n\n")
        .enumerate()
        .filter(|(_, event)| !event.ends_with("[DONE]"))
        .filter(|(_, event)| {
            let data = event.split_once("data: ").expect("it has data").1;
            serde_json::from_str::<Value>(data).is_err()
        })
        .map(|(at, _)| at + 1)
        .collect();
    assert_eq!(broken, [2], "{seen}");
}

#[tokio::test]
async fn a_requested_delay_is_applied() {
    let server = TestServer::start("").await;
    let start = Instant::now();
    Reply::to(request(&server, &json!({"delay": "300ms"}), false)).await;
    assert!(start.elapsed() >= Duration::from_millis(300));

    let start = Instant::now();
    let (seen, _) = stream(&server, json!({"between_events": "50ms"})).await;
    let events = u32::try_from(seen.matches("\n\n").count()).expect("there are few");
    assert!(start.elapsed() >= Duration::from_millis(50) * events, "{events} events");
}

#[tokio::test]
async fn every_status_of_the_real_service_can_be_requested() {
    let server = TestServer::start("").await;
    for status in [400, 401, 403, 404, 408, 409, 413, 429, 499, 500, 501, 502, 503, 504] {
        let reply = Reply::to(request(&server, &json!({"status": status}), false)).await;
        assert_eq!((reply.status, reply.message()), (status, "A fault was requested."));
    }
}

#[tokio::test]
async fn every_finish_reason_can_be_requested() {
    let server = TestServer::start("").await;
    let classic = json!({"contents": [{"role": "user", "parts": [{"text": "print(1)"}]}],
                         "tools": [{"codeExecution": {}}]});
    let generate = |method: &str, reason: &str| {
        let fault = json!({"finish": reason}).to_string();
        let request = server.request("POST", &format!("/v1beta/models/direct:{method}"));
        request.header("x-belljar-fault", fault).json(&classic)
    };
    for reason in ["SAFETY", "MODEL_ARMOR", "MISSING_THOUGHT_SIGNATURE", "NO_IMAGE", "OTHER"] {
        let candidate = json!({"content": {"parts": [{"text": ""}], "role": "model"},
                               "index": 0, "finishReason": reason});
        let body = Reply::to(generate("generateContent", reason)).await.body;
        assert_eq!((&body["candidates"], body.get("usageMetadata")), (&json!([candidate]), None));
        let body = Reply::to(generate("streamGenerateContent", reason)).await.body;
        assert_eq!(body[0]["candidates"], json!([candidate]));
        assert_eq!(body.get(1), None);

        let body = Reply::to(request(&server, &json!({"finish": reason}), false)).await.body;
        let why = format!("The model stopped without an answer: {reason}.");
        assert_eq!(
            (&body["status"], &body["errors"][0]["message"]),
            (&json!("failed"), &json!(why))
        );
        let (seen, was_cut) = stream(&server, json!({"finish": reason})).await;
        assert!(!was_cut && seen.contains(&why) && !seen.contains("step.start"), "{seen}");
    }
    let body = Reply::to(generate("generateContent", "MAX_TOKENS")).await.body;
    assert_eq!(body["candidates"][0]["finishReason"], "MAX_TOKENS");
    let body = Reply::to(request(&server, &json!({"finish": "MAX_TOKENS"}), false)).await.body;
    assert_eq!(body["status"], "incomplete");
    let (seen, _) = stream(&server, json!({"finish": "MAX_TOKENS"})).await;
    assert!(seen.contains("\"status\":\"incomplete\"") && seen.ends_with("[DONE]\n\n"), "{seen}");
}

#[tokio::test]
async fn stream_faults_apply_to_streams_in_list_form() {
    let server = TestServer::start("").await;
    let classic = json!({"contents": [{"role": "user", "parts": [{"text": "print(1)"}]}],
                         "tools": [{"codeExecution": {}}]});
    let ask = async |fault: Value| {
        let request = server.request("POST", "/v1beta/models/direct:streamGenerateContent");
        let request = request.header("x-belljar-fault", fault.to_string()).json(&classic);
        request.send().await.expect("it begins").text().await
    };
    assert!(ask(json!({"drop_after_events": 2})).await.is_err(), "it is cut");
    let malformed = ask(json!({"malformed_event": 2})).await.expect("it is whole");
    assert!(serde_json::from_str::<Value>(&malformed).is_err(), "{malformed}");
}

#[tokio::test]
async fn faults_can_be_set_for_the_whole_server() {
    let faults = json!([{"status": 500, "times": 1}, {"status": 503, "times": 1}]);
    let server = TestServer::builder().faults(faults).start().await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(server.post(INTERACTIONS, &direct("print(1)")).await.status);
    }
    // The second fault is not used up while the first one applies.
    assert_eq!(statuses, [500, 503, 200]);
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(server.get("/x/journal").await.status, 200, "what is ours is spared");
}

#[tokio::test]
async fn an_invalid_fault_is_refused() {
    let server = TestServer::start("").await;
    for (fault, wanted) in [
        (json!({"status": 200}), "unknown status 200"),
        (json!({"drop": 1}), "unknown field `drop`"),
        (json!("all"), "Invalid value for 'x-belljar-fault'"),
    ] {
        let reply = Reply::to(request(&server, &fault, false)).await;
        assert_eq!(reply.status, 400);
        assert!(reply.message().contains(wanted), "{}", reply.message());
    }
}
