//! Failures of an upstream Gemini server, and the errors that clients get.

use serde_json::{Value, json};
use server::backends::gemini::Execution;

use super::{Act, Answer, Fake, ask, behind, event, server, step, text};
use crate::fake::status;
use harness::{Program, TestServer};

const INTERACTIONS: &str = "/v1beta/interactions";

fn start(step: Value) -> Act {
    event("step.start", json!({"index": 0, "step": step}))
}

fn ends(interaction: Value) -> Act {
    event("interaction.completed", json!({"interaction": interaction}))
}

#[tokio::test]
async fn failures_in_its_own_words_are_recognised() {
    let many = || Act::Send(format!("data: {}\n\n", "x".repeat(17 << 20)));
    for (answer, status_wanted, wanted) in [
        (status(400, "The input exceeds the context window"), 400, "The conversation is too long"),
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
        (Answer::Stream(vec![many()]), 503, "response too large"),
    ] {
        let what = format!("{answer:?}").chars().take(200).collect::<String>();
        let fake = Fake::start([answer]).await;
        let reply = server(&fake, Execution::Sandbox).await.post(INTERACTIONS, &ask("?")).await;
        assert_eq!(reply.status, status_wanted, "{what}: {}", reply.body);
        assert!(reply.message().contains(wanted), "{what}: {}", reply.message());
        assert!(!reply.message().contains("geheim"), "{}", reply.message());
        assert_eq!(fake.asked().len(), 1, "{what}: asked again");
    }
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
async fn text_before_an_interruption_of_code_run_upstream_is_kept() {
    for last in [Act::Cut, Act::Hang, Act::Send("data: {\"broken\n\n".into())] {
        let text =
            event("step.delta", json!({"index": 0, "delta": {"type": "text", "text": "Well, "}}));
        let acts = vec![start(json!({"type": "model_output"})), text, last.clone()];
        let fake = Fake::start([Answer::Stream(acts)]).await;
        let server = server(&fake, Execution::Upstream).await;
        let events = server.create_stream(ask("?")).await.rest().await;
        let end = events.last().expect("there are some");
        assert_eq!(end.name, "error", "{last:?}");
        assert_eq!(end.data["error"]["code"], "service_unavailable");
        let id = events[0].data["interaction"]["id"].as_str().expect("it has one");
        let kept = server.get(&format!("{INTERACTIONS}/{id}")).await.body;
        assert_eq!(kept["status"], "failed");
        assert_eq!(kept["steps"][1]["content"][0]["text"], "Well, ", "{last:?}");
        assert_eq!(fake.asked().len(), 1);
    }
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
