//! Failures of an upstream Gemini server, and the errors that clients get.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::{Value, json};
use server::backend::gemini::Execution;

use super::{Act, Answer, Fake, answers, ask, behind, event, server, step, text};
use crate::harness::{Program, TestServer};
use crate::openai::fake::status;

const INTERACTIONS: &str = "/v1beta/interactions";

fn start(step: Value) -> Act {
    event("step.start", json!({"index": 0, "step": step}))
}

fn ends(interaction: Value) -> Act {
    event("interaction.completed", json!({"interaction": interaction}))
}

#[tokio::test]
async fn each_upstream_failure_has_a_specific_error() {
    let many = || Act::Send(format!("data: {}\n\n", "x".repeat(17 << 20)));
    for (answer, status_wanted, wanted) in [
        (status(401, "API key not valid: AIza-geheim"), 503, "rejects the configured API key"),
        (status(403, "no"), 503, "rejects the configured API key"),
        (
            status(400, "Unknown parameter AIza-geheim"),
            400,
            "refuses the request: Unknown parameter ….",
        ),
        (status(400, "The input exceeds the context window"), 400, "The conversation is too long"),
        (Answer::Whole(429, ("retry-after", "60"), "quota".into()), 429, "is busy: quota"),
        (
            Answer::Whole(302, ("location", "http://127.0.0.1:9/"), String::new()),
            400,
            "refuses the request",
        ),
        (Answer::Stream(vec![Act::Send("data: nonsense\n\n".into())]), 503, "invalid response"),
        (Answer::Stream(vec![Act::Send("data: 7\n\n".into())]), 503, "invalid response"),
        (Answer::Stream(vec![Act::Send("data: {}\n\n".into())]), 503, "invalid response"),
        (Answer::Stream(vec![start(json!({"content": []}))]), 503, "a step without a type"),
        (
            Answer::Stream(vec![event(
                "step.delta",
                json!({"index": 0, "delta": {"type": "text", "text": "a"}}),
            )]),
            503,
            "a delta without its step",
        ),
        (
            Answer::Stream(vec![event(
                "error",
                json!({"error": {"message": "overloaded", "code": "x"}}),
            )]),
            503,
            "overloaded",
        ),
        (
            Answer::Stream(vec![ends(
                json!({"status": "failed", "errors": [{"message": "no luck"}]}),
            )]),
            503,
            "no luck",
        ),
        (
            Answer::Whole(200, ("content-type", "application/json"), "{\"id\": \"v1_x\"}".into()),
            503,
            "invalid response",
        ),
        (Answer::Stream(vec![Act::Send("data: [DONE]\n\n".into())]), 503, "ended early"),
        (Answer::Stream(vec![Act::Cut]), 503, "ended early"),
        (Answer::Stream(vec![]), 503, "ended early"),
        (Answer::Stream(vec![Act::Hang]), 503, "no data for 1 s"),
        (Answer::Stream(vec![many()]), 503, "response too large"),
        (
            Answer::Stream(vec![Act::Repeat(Bytes::from(vec![b'x'; 1 << 20]))]),
            503,
            "response too large",
        ),
    ] {
        let what = format!("{answer:?}").chars().take(200).collect::<String>();
        let fake = Fake::start([answer]).await;
        let reply = server(&fake, Execution::Sandbox).await.post(INTERACTIONS, &ask("?")).await;
        assert_eq!(reply.status, status_wanted, "{what}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{what}: {}", reply.message());
        assert!(!reply.message().contains("geheim"), "{}", reply.message());
        if status_wanted == 429 {
            assert_eq!(reply.headers["retry-after"], "60");
        }
        assert_eq!(fake.asked().len(), 1, "{what}: asked again");
    }
}

#[tokio::test]
async fn transient_errors_are_retried_after_the_requested_delay() {
    let busy = || Answer::Whole(429, ("retry-after", "1"), "busy".into());
    let fake = Fake::start([busy(), status(503, "overloaded"), answers("Here.")]).await;
    let start = Instant::now();
    let answer = server(&fake, Execution::Sandbox).await.create(ask("?")).await;
    assert_eq!(answer["steps"][0]["content"][0]["text"], "Here.");
    assert!(start.elapsed() >= Duration::from_millis(1500), "a second, and half of one at least");
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn the_upstream_status_is_passed_on() {
    let call = |arguments: &str| {
        step(
            0,
            json!({"type": "function_call", "id": "c", "name": "run_python", "arguments": {}}),
            &[json!({"type": "arguments_delta", "arguments": arguments})],
        )
    };
    for (steps, status, wanted) in [
        (text("A"), "incomplete", "incomplete"),
        (text("A"), "budget_exceeded", "incomplete"),
        (text("A"), "completed", "completed"),
        (call("[1]"), "requires_action", "failed"),
        (call("{\"code\": \""), "requires_action", "failed"),
    ] {
        let fake = Fake::start([super::stream_of([steps], status, json!({}))]).await;
        let answer = server(&fake, Execution::Sandbox).await.create(ask("?")).await;
        assert_eq!(answer["status"], wanted, "{status}: {answer}");
    }
}

#[tokio::test]
async fn text_before_an_interruption_is_kept_and_the_request_is_not_retried() {
    for execution in [Execution::Sandbox, Execution::Upstream] {
        for last in [Act::Cut, Act::Hang, Act::Send("data: {\"broken\n\n".into())] {
            let text = event(
                "step.delta",
                json!({"index": 0, "delta": {"type": "text", "text": "Well, "}}),
            );
            let acts = vec![start(json!({"type": "model_output"})), text, last.clone()];
            let fake = Fake::start([Answer::Stream(acts)]).await;
            let server = server(&fake, execution).await;
            let events = server.create_stream(ask("?")).await.rest().await;
            let end = events.last().expect("there are some");
            assert_eq!(end.name, "error", "{last:?}");
            assert_eq!(end.data["error"]["code"], "service_unavailable");
            let id = events[0].data["interaction"]["id"].as_str().expect("it has one");
            let kept = server.get(&format!("{INTERACTIONS}/{id}")).await.body;
            assert_eq!(kept["status"], "failed");
            assert_eq!(kept["steps"][1]["content"][0]["text"], "Well, ", "{execution:?} {last:?}");
            assert_eq!(fake.asked().len(), 1);
        }
    }
}

#[tokio::test]
async fn the_model_request_is_cancelled_when_the_client_disconnects() {
    let text = event("step.delta", json!({"index": 0, "delta": {"type": "text", "text": "Once "}}));
    let acts = vec![start(json!({"type": "model_output"})), text, Act::Hang];
    let fake = Fake::start([Answer::Stream(acts)]).await;
    let server = server(&fake, Execution::Sandbox).await;
    let mut stream = server.create_stream(ask("A story?")).await;
    stream.until("step.delta").await;
    drop(stream);
    tokio::time::timeout(Duration::from_millis(900), fake.left())
        .await
        .expect("its connection is closed before its silence ends it");
}

const SLOW: &str = "
scenarios:
  - name: a story
    script:
      - text: Once upon a time, there was a server.
      - delay: 10m
      - text: The end.
";

/// A real server, killed with `kill -9` in the middle of its stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_upstream_server_produces_an_error() {
    let data = tempfile::tempdir().expect("the temporary folder can be created");
    let scenarios = tempfile::tempdir().expect("the temporary folder can be created");
    std::fs::write(scenarios.path().join("slow.yaml"), SLOW).expect("the folder is ours");
    let folder = scenarios.path().to_str().expect("a temporary path is text");
    let upstream = Program::start(data.path(), &["--scenarios", folder]);
    let model = behind(upstream.url(), Execution::Sandbox, None);
    let front = TestServer::builder().model("gemini-*", model).start().await;
    let mut stream = front.create_stream(ask("A story?")).await;
    stream.until("step.delta").await;
    upstream.kill();
    let events = stream.rest().await;
    let end = events.last().expect("there is an end");
    assert_eq!(
        (end.name.as_str(), &end.data["error"]["code"]),
        ("error", &json!("service_unavailable"))
    );
    assert!(end.data["error"]["message"].as_str().is_some_and(|why| why.contains("ended early")));
    let reply = front.post(INTERACTIONS, &ask("Again?")).await;
    assert_eq!(reply.status, 503);
    assert!(reply.message().ends_with("its server is unreachable."), "{}", reply.message());
}
