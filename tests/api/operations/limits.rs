//! The engine's limits.

use domain::interaction::Limits;
use serde_json::json;

use harness::{RUN_LIMIT, TestServer, direct};

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let server = TestServer::builder().request_bytes(1000).start().await;
    let reply = server.post("/v1beta/interactions", &direct(&"#".repeat(1000))).await;
    assert_eq!((reply.status, &reply.body["error"]["code"]), (413, &json!("request_too_large")));
    server.create(direct("print(1)")).await;
}

#[tokio::test]
async fn a_run_over_the_time_limit_is_stopped_and_keeps_its_output() {
    let server = TestServer::start("").await;
    let answer = server.create(direct("print('so far', flush=True)\nwhile True: pass")).await;
    assert_eq!(answer["status"], "completed");
    let result = &answer["steps"][1];
    assert_eq!(result["is_error"], true);
    let seconds = RUN_LIMIT.as_secs();
    let wanted =
        format!("so far\nTimeoutError: stopped after {seconds} s (the limit of one run)\n");
    assert_eq!(result["result"], wanted);
}

const NEVER_LEARNS: &str = r#"
scenarios:
  - name: never learns
    script:
      - repeat_code_until_ok: 1 / 0
      - text: "I give up."
"#;

/// [D20]
#[tokio::test]
async fn repeated_failing_code_is_stopped_by_the_limit_on_regenerations() {
    for regenerations in [0, 2] {
        let limits = Limits { regenerations, model_turns: 20 };
        let server = TestServer::builder().scenarios(NEVER_LEARNS).limits(limits).start().await;
        let mut request = direct("?");
        request["model"] = "m".into();
        let answer = server.create(request).await;
        let steps = answer["steps"].as_array().expect("it has steps");
        let runs = steps.iter().filter(|step| step["type"] == "code_execution_result").count();
        assert_eq!(runs, regenerations as usize + 1, "{answer}");
        assert_eq!(answer["status"], "completed");
    }
}

#[tokio::test]
async fn model_turns_are_limited() {
    let limits = Limits { regenerations: 5, model_turns: 3 };
    let server = TestServer::builder().limits(limits).start().await;
    let block = "```python\nprint(1)\n```\n";
    let answer = server.create(direct(&block.repeat(5))).await;
    let steps = answer["steps"].as_array().expect("it has steps");
    assert_eq!(steps.len(), 2 * 2 + 1, "two runs, and the last turn is for the answer: {answer}");
}

#[tokio::test]
async fn direct_reports_how_many_blocks_it_did_not_run() {
    let server = TestServer::start("").await;
    let blocks: String = (0..60).map(|n| format!("```python\nprint({n})\n```\n")).collect();
    let answer = server.create(harness::direct(&blocks)).await;
    assert_eq!(answer["status"], "incomplete");
    let steps = answer["steps"].as_array().expect("it is a list");
    let results = steps.iter().filter(|step| step["type"] == "code_execution_result").count();
    let last = steps.last().expect("there are some")["content"][0]["text"].as_str();
    let wanted = format!("stopped: {} of 60 blocks were not run.", 60 - results);
    assert!(last.is_some_and(|last| last.starts_with(&wanted)), "{last:?}");
    assert!(results > 10, "{results}");
}
